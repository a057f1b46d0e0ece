//! The program: command line, configuration, run, exit code. Everything else is in the library.

mod cli;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use cli::{Action, Cli};
use sessile::config::{self, Config};
use sessile::{logging, ping, server};

/// Could not start, or did not answer.
const FAILED: u8 = 1;
/// The configuration or the command line is wrong.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.action {
        Some(Action::Check { print }) => check(&cli, print).map_err(|why| (MISUSED, why)),
        // Health probes know only one way to fail.
        Some(Action::Ping) => ping(&cli).map_err(|why| (FAILED, why)),
        None => serve(&cli),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            // Nobody is left to tell if stderr is closed.
            let _ = writeln!(io::stderr(), "sessile: {why}");
            ExitCode::from(code)
        }
    }
}

fn serve(cli: &Cli) -> Result<(), (u8, String)> {
    let (config, _) = configuration(cli).map_err(|why| (MISUSED, why))?;
    logging::init(&config.log);
    server::run(config).map_err(|why| (FAILED, why))
}

fn check(cli: &Cli, print: bool) -> Result<(), String> {
    let (config, source) = configuration(cli)?;
    say(&format!("configuration is valid: {source}"))?;
    if print {
        say(&config.shown().join("\n"))?;
    }
    Ok(())
}

fn ping(cli: &Cli) -> Result<(), String> {
    let (config, _) = configuration(cli)?;
    ping::ping(&config)?;
    say("PONG")
}

/// The configuration, and the file it comes from or `defaults`.
fn configuration(cli: &Cli) -> Result<(Config, String), String> {
    let args = cli.overrides()?;
    let env = environment()?;
    let cwd_file = Some(Path::new("sidecar.toml"));
    let file = config::chosen_file(&args, env.iter().cloned(), cwd_file);
    let source = file.map_or("defaults".into(), |path| path.display().to_string());
    let config = config::load(&args, env.into_iter(), cwd_file).map_err(|e| e.to_string())?;
    Ok((config, source))
}

/// Our own variables; others may hold what is no UTF-8, and do not concern us.
fn environment() -> Result<Vec<(String, String)>, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("SESSILE_"))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(format!("{name}: only UTF-8 is allowed")),
        })
        .collect()
}

fn say(line: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(|error| format!("stdout: {error}"))
}
