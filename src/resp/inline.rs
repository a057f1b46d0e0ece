//! Inline requests: a line of words, as somebody types them into a raw connection.
//!
//! The quoting rules are Redis's: `"..."` with `\n \r \t \b \a \xHH` escapes, `'...'` with `\'`, and a
//! closing quote must end its word.

/// Splits a line (without its line end) into words. `None`: the quotes are not balanced.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(words);
        }
        let (word, behind) = word(rest)?;
        words.push(word);
        rest = behind;
    }
}

/// The word at the start of `rest`, which is not empty, and what is behind it.
fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    while let Some((&byte, tail)) = rest.split_first() {
        match byte {
            b'"' => return double_quoted(word, tail),
            b'\'' => return single_quoted(word, tail),
            byte if byte.is_ascii_whitespace() || byte == 0 => return Some((word, tail)),
            byte => word.push(byte),
        }
        rest = tail;
    }
    Some((word, rest))
}

fn double_quoted(mut word: Vec<u8>, mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    loop {
        (word, rest) = match rest {
            [b'\\', b'x', high, low, tail @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                word.push(hex(*high)? << 4 | hex(*low)?);
                (word, tail)
            }
            [b'\\', escaped, tail @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                (word, tail)
            }
            [b'"', tail @ ..] => return ends_word(tail).then_some((word, tail)),
            [byte, tail @ ..] => {
                word.push(*byte);
                (word, tail)
            }
            [] => return None,
        };
    }
}

fn single_quoted(mut word: Vec<u8>, mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    loop {
        (word, rest) = match rest {
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                (word, tail)
            }
            [b'\'', tail @ ..] => return ends_word(tail).then_some((word, tail)),
            [byte, tail @ ..] => {
                word.push(*byte);
                (word, tail)
            }
            [] => return None,
        };
    }
}

fn ends_word(rest: &[u8]) -> bool {
    rest.first().is_none_or(u8::is_ascii_whitespace)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::split;

    fn words(line: &str) -> Option<Vec<String>> {
        split(line.as_bytes()).map(|words| {
            words
                .into_iter()
                .map(|word| String::from_utf8_lossy(&word).into_owned())
                .collect()
        })
    }

    #[test]
    fn words_and_quotes() {
        assert_eq!(words("  a  b\t"), Some(vec!["a".into(), "b".into()]));
        assert_eq!(
            words(r#""a b" 'c\'d' """#),
            Some(vec!["a b".into(), "c'd".into(), String::new()])
        );
        assert_eq!(words(r#""\x41\n\q""#), Some(vec!["A\nq".into()]));
        assert_eq!(words(r#"a"b""#), Some(vec!["ab".into()]));
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [r#""a"#, "'a", r#""a"b"#, "'a'b"] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
