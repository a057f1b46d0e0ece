//! The file's text to a flat list of settings with their lines. Knows TOML and nothing about
//! options, but that they live in sections.

use toml::Value;
use toml::de::{DeTable, DeValue};

/// One thing the file says.
pub(super) struct Entry {
    /// Where its key stands, counted from 1.
    pub line: usize,
    /// `section.name`, or a bare name for what stands outside of any section.
    pub key: String,
    /// What is set. A table where a section has one inside.
    pub value: Value,
}

/// Reads the file's text; entries come in the order of their lines.
///
/// # Errors
/// The line, and what is no TOML there.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|&b| b == b'\n').count();
    let document = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        (line_of(offset), error.message().replace('\n', "; "))
    })?;
    let mut found = Vec::new();
    for (section, content) in document.get_ref() {
        let name = section.get_ref();
        let Some(table) = content.get_ref().as_table() else {
            let (line, key) = (line_of(section.span().start), name.to_string());
            found.push(Entry {
                line,
                key,
                value: owned(content.get_ref()),
            });
            continue;
        };
        if table.is_empty() {
            // An empty section sets nothing, but its name may still be wrong.
            let (line, key) = (line_of(section.span().start), name.to_string());
            found.push(Entry {
                line,
                key,
                value: Value::Table(toml::Table::new()),
            });
        }
        for (key, value) in table {
            found.push(Entry {
                line: line_of(key.span().start),
                key: format!("{name}.{}", key.get_ref()),
                value: owned(value.get_ref()),
            });
        }
    }
    found.sort_by_key(|entry| entry.line);
    Ok(found)
}

fn owned(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(yes) => Value::Boolean(*yes),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(items) => Value::Array(items.iter().map(|i| owned(i.get_ref())).collect()),
        // What is inside is of no interest: no option is a table.
        DeValue::Table(_) => Value::Table(toml::Table::new()),
        // A number too large to hold is as wrong as text, and is shown as it was written.
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::String(number.to_string()), Value::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or_else(|_| Value::String(number.to_string()), Value::Float),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<(usize, String, String)> {
        let entries = entries(text).unwrap();
        entries
            .into_iter()
            .map(|e| (e.line, e.key, e.value.to_string()))
            .collect()
    }

    #[test]
    fn lines_are_those_of_the_keys() {
        let text = "# first\nloose = 1\r\nlog.level = \"warn\"\n\n[listen]\nworkers = 0x1_0\naddresses = [\n \"a:1\",\n]\n";
        let expected = [
            (2, "loose", "1"),
            (3, "log.level", "\"warn\""),
            (6, "listen.workers", "16"),
            (7, "listen.addresses", "[\"a:1\"]"),
        ];
        assert_eq!(
            seen(text),
            expected.map(|(l, k, v)| (l, k.into(), v.into()))
        );
    }

    #[test]
    fn syntax_errors_know_their_line() {
        for (text, line) in [
            ("[listen]\nworkers = \n", 2),
            ("[listen]\n\nworkers = fast", 3),
            ("[listen\n", 1),
            ("a = 1\na = 2\n", 2),
            ("a = 1\n\nb = \"open\n", 3),
        ] {
            let (found, what) = entries(text).err().unwrap();
            assert_eq!(found, line, "{text:?}: {what}");
            assert!(!what.is_empty() && !what.contains('\n'), "{what}");
        }
    }
}
