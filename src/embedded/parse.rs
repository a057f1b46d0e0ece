//! Reading numbers, score ranges and glob patterns as strictly as Redis does, and writing doubles.
//!
//! Pure functions on bytes: nothing of stores, connections or commands.

use super::fault::{Fault, NOT_FLOAT, NOT_INTEGER, NOT_RANGE};

/// Whether an argument is this option, in any case.
pub(super) fn is(arg: &[u8], option: &str) -> bool {
    arg.eq_ignore_ascii_case(option.as_bytes())
}

/// A 64-bit integer in its one canonical spelling: no blanks, no `+`, no leading zeros, no `-0`.
pub(super) fn integer(text: &[u8]) -> Result<i64, Fault> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return Err(NOT_INTEGER);
    }
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(NOT_INTEGER)
}

/// A double: what `strtod` reads to the end, but no NaN, and nothing too large or too small for one.
pub(super) fn float(text: &[u8]) -> Result<f64, Fault> {
    let value = decimal(text).ok_or(NOT_FLOAT)?;
    let spelled_out = text.iter().any(|b| b.eq_ignore_ascii_case(&b'n')); // "inf"
    let mantissa = text.split(|b| b.eq_ignore_ascii_case(&b'e')).next();
    let nonzero = mantissa.is_some_and(|m| m.iter().any(|b| matches!(b, b'1'..=b'9')));
    let overflow = value.is_infinite() && !spelled_out;
    let underflow = value == 0.0 && nonzero;
    if overflow || underflow {
        Err(NOT_FLOAT)
    } else {
        Ok(value)
    }
}

/// One end of a score range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bound {
    /// The score itself.
    pub score: f64,
    /// Whether the score itself is outside: `(1.5`.
    pub exclusive: bool,
}

/// A score range as ZRANGEBYSCORE takes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ScoreRange {
    /// The lower end.
    pub min: Bound,
    /// The upper end.
    pub max: Bound,
}

impl ScoreRange {
    /// Reads both ends.
    pub fn parse(min: &[u8], max: &[u8]) -> Result<Self, Fault> {
        Ok(Self {
            min: bound(min)?,
            max: bound(max)?,
        })
    }

    /// Whether a score is not below the lower end.
    pub fn above_min(&self, score: f64) -> bool {
        score > self.min.score || (score == self.min.score && !self.min.exclusive)
    }

    /// Whether a score is not above the upper end.
    pub fn below_max(&self, score: f64) -> bool {
        score < self.max.score || (score == self.max.score && !self.max.exclusive)
    }
}

fn bound(text: &[u8]) -> Result<Bound, Fault> {
    let (exclusive, text) = match text.strip_prefix(b"(") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    // `strtod` reads nothing as 0 and says so only by not moving; Redis checks what is left over.
    if text.is_empty() {
        return Ok(Bound {
            score: 0.0,
            exclusive,
        });
    }
    let score = decimal(text.trim_ascii_start()).ok_or(NOT_RANGE)?;
    Ok(Bound { score, exclusive })
}

fn decimal(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// A double as C's `%.17g` writes it, which is how Redis 7.0 shows scores: `3`, `1.1000000000000001`,
/// `1e+20`, `inf`.
pub(super) fn float_text(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..17).contains(&exponent) {
        let decimals = usize::try_from(16 - exponent).unwrap_or(0);
        return without_trailing_zeros(&format!("{value:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let mantissa = without_trailing_zeros(mantissa);
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn without_trailing_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

/// Redis's glob matching: `*`, `?`, `[a-c]`, `[^x]`, `\` before a literal.
///
/// Only the last `*` is ever retried, so the work is bounded by pattern times text.
pub(super) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None; // behind the last `*`, and the text it swallowed
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        match (pattern.get(p..).and_then(first_token), text.get(t)) {
            (None, None) => return true,
            (Some((token, len)), Some(&byte)) if matches(token, byte) => {
                p += len;
                t += 1;
                continue;
            }
            _ => {}
        }
        match retry {
            Some((behind, swallowed)) if swallowed < text.len() => {
                retry = Some((behind, swallowed + 1));
                (p, t) = (behind, swallowed + 1);
            }
            _ => return false,
        }
    }
}

/// One element of a pattern that stands for exactly one byte of text.
#[derive(Clone, Copy)]
enum Token<'a> {
    Any,
    Literal(u8),
    /// What stands between the brackets, and whether it is negated.
    Class(&'a [u8], bool),
}

/// The first element of a pattern and its length; `None` at the end.
fn first_token(pattern: &[u8]) -> Option<(Token<'_>, usize)> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some((Token::Any, 1)),
        [b'\\', literal, ..] => Some((Token::Literal(literal), 2)),
        [b'[', ref rest @ ..] => {
            let negated = rest.first() == Some(&b'^');
            let body = &rest[usize::from(negated)..];
            let len = class_len(body);
            // An unclosed class ends with the pattern.
            let closed = usize::from(len < body.len());
            Some((
                Token::Class(&body[..len], negated),
                1 + usize::from(negated) + len + closed,
            ))
        }
        [literal, ..] => Some((Token::Literal(literal), 1)),
    }
}

/// How many bytes of `body` belong to the class, up to its `]`.
fn class_len(body: &[u8]) -> usize {
    let mut at = 0;
    while at < body.len() && body[at] != b']' {
        at += member(&body[at..]).2;
    }
    at
}

/// The first member of a class: its lowest and highest byte, and its length in the pattern.
fn member(class: &[u8]) -> (u8, u8, usize) {
    match *class {
        [b'\\', literal, ..] => (literal, literal, 2),
        [from, b'-', to, ..] => (from.min(to), from.max(to), 3),
        [literal, ..] => (literal, literal, 1),
        [] => (1, 0, 1),
    }
}

fn matches(token: Token<'_>, byte: u8) -> bool {
    match token {
        Token::Any => true,
        Token::Literal(literal) => literal == byte,
        Token::Class(mut class, negated) => {
            let mut found = false;
            while !class.is_empty() {
                let (low, high, len) = member(class);
                found |= (low..=high).contains(&byte);
                class = class.get(len..).unwrap_or_default();
            }
            found != negated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_spelling() {
        for good in ["0", "-1", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(
                integer(good.as_bytes()).map(|n| n.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            "-",
            "-0",
            "01",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "9223372036854775808",
        ] {
            assert_eq!(integer(bad.as_bytes()), Err(NOT_INTEGER), "{bad:?}");
        }
    }

    #[test]
    fn floats_are_read_as_strtod_reads_them() {
        for (text, value) in [
            ("1.5", 1.5),
            ("+inf", f64::INFINITY),
            (".5", 0.5),
            ("1e3", 1e3),
            ("0e9", 0.0),
        ] {
            assert_eq!(float(text.as_bytes()), Ok(value));
        }
        for bad in ["", " 1", "nan", "1x", "1e999", "1e-999"] {
            assert_eq!(float(bad.as_bytes()), Err(NOT_FLOAT), "{bad:?}");
        }
    }

    #[test]
    fn floats_are_written_as_printf_writes_them() {
        for (value, text) in [
            (3.0, "3"),
            (-1.5, "-1.5"),
            (1.1, "1.1000000000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (1_700_000_000_123.0, "1700000000123"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float_text(value), text);
        }
    }

    #[test]
    fn globs_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abcbc", true),
            ("a*b*d", "axbxbxd", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[a", "a", true),
            ("[]x", "]x", false),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\", "\\", true),
            ("sess:*:[0-9]", "sess:a:b:7", true),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
