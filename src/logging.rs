//! Where `tracing` writes: stderr, as text or JSON. The only file that knows its subscriber.
//!
//! Stdout stays free for `check` and `ping`. What may be logged is not decided here, but nowhere
//! may it be a token, a secret or a password.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Format, Level, Log};

/// Sends all messages from here on to stderr. Does nothing if that has been arranged already.
pub fn init(log: &Log) {
    let subscriber = subscriber(log, io::stderr().is_terminal(), io::stderr);
    // The first caller decides; a second one in the same process can only be a test.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Writes each message to `out`: as a line for people, coloured if `ansi`, or as a JSON object with
/// `timestamp`, `level`, `message` and the message's own fields beside them.
fn subscriber<W>(log: &Log, ansi: bool, out: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        // A full disk behind stderr must not become more messages to stderr.
        .log_internal_errors(false)
        .with_writer(out);
    match log.format {
        Format::Text => Box::new(builder.with_ansi(ansi).finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(level: Level, format: Format) -> String {
        let out = Shared::default();
        let writer = out.clone();
        let log = Log { level, format };
        tracing::subscriber::with_default(subscriber(&log, false, move || writer.clone()), || {
            tracing::info!(address = "127.0.0.1:6380", "listening");
            tracing::warn!("second\nline");
        });
        let bytes = out.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_a_line_without_colours() {
        let text = written(Level::Info, Format::Text);
        assert!(
            text.contains("INFO listening address=\"127.0.0.1:6380\""),
            "{text}"
        );
        assert!(!text.contains('\x1b'), "{text}");
    }

    #[test]
    fn json_is_one_object_per_line() {
        let text = written(Level::Info, Format::Json);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("{\"timestamp\":\""), "{text}");
        let rest = "\"level\":\"INFO\",\"message\":\"listening\",\"address\":\"127.0.0.1:6380\"}";
        assert!(lines[0].ends_with(rest), "{text}");
    }

    #[test]
    fn less_severe_messages_are_left_out() {
        let text = written(Level::Warn, Format::Text);
        assert!(
            !text.contains("listening") && text.contains("second"),
            "{text}"
        );
        assert_eq!(written(Level::Error, Format::Json), "");
    }
}
