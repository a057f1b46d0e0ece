//! The command line: what may be said, and what it means for the configuration.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use sessile::config::{Overrides, Setting};

const EXAMPLES: &str = "\
Getting started:
  sessile                                     serves 127.0.0.1:6380 from memory, to try it out
  sessile --upstream redis://127.0.0.1:6379   the same, with sessions kept in that Redis
  redis-cli -p 6380 SESS.HELP                 any Redis client is a client; this lists the commands

Options come from flags, then SESSILE_* variables, then the file, then defaults. Every option is
explained in sidecar.toml; upstream.timeout_ms there is SESSILE_UPSTREAM_TIMEOUT_MS in the
environment and --set upstream.timeout_ms=500 here.

Exit codes: 0 done, 1 could not start or no answer to ping, 2 wrong configuration or command line.";

/// A session sidecar for Redis: SESS.* commands for web sessions, and everything else passed
/// through, for any Redis client.
#[derive(Parser)]
#[command(name = "sessile", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Do this instead of serving
    #[command(subcommand)]
    pub action: Option<Action>,

    /// Read options from FILE [default: ./sidecar.toml if it exists] [env: SESSILE_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Listen on ADDR, host:port or unix:/path; may be repeated [listen.addresses]
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Vec<String>,

    /// Keep sessions in the Redis at URL, redis://host:port; embedded: is memory [upstream.url]
    #[arg(long, global = true, value_name = "URL")]
    upstream: Option<String>,

    /// Serve clients with N threads [listen.workers]
    #[arg(long, global = true, value_name = "N")]
    workers: Option<String>,

    /// Write messages from this level on: error, warn, info, debug, trace [log.level]
    #[arg(long, global = true, value_name = "L")]
    log_level: Option<String>,

    /// Write messages as text or json [log.format]
    #[arg(long, global = true, value_name = "F")]
    log_format: Option<String>,

    /// Set any option by its name in the file; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// What to do instead of serving.
#[derive(Subcommand)]
pub enum Action {
    /// Say whether the configuration is valid, and exit
    Check {
        /// Print the value of every option, passwords hidden
        #[arg(long)]
        print: bool,
    },
    /// Ask the running sidecar whether it answers, and exit: a health probe for containers
    Ping,
}

impl Cli {
    /// What the flags say about options. A flag of its own counts more than `--set`.
    ///
    /// # Errors
    /// One line about a `--set` that is not `key=value`.
    pub fn overrides(&self) -> Result<Overrides, String> {
        let mut settings = Vec::new();
        for text in &self.set {
            // The text itself is not shown: it may be a password.
            let (key, value) = text
                .split_once('=')
                .ok_or("--set: a value without a key: key=value is allowed")?;
            settings.push(setting("--set", key, value.to_owned()));
        }
        let listen = (!self.listen.is_empty()).then(|| self.listen.join(","));
        for (flag, key, value) in [
            ("--listen", "listen.addresses", &listen),
            ("--upstream", "upstream.url", &self.upstream),
            ("--workers", "listen.workers", &self.workers),
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
        ] {
            settings.extend(value.clone().map(|value| setting(flag, key, value)));
        }
        Ok(Overrides {
            file: self.config.clone(),
            settings,
        })
    }
}

fn setting(flag: &'static str, key: &str, value: String) -> Setting {
    Setting {
        flag,
        key: key.trim().to_owned(),
        value,
    }
}
