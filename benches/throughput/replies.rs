//! Where does a reply end, and is it the one we wanted?
//!
//! The generator shares two cores with what it measures, so it builds no values: it counts elements and skips bodies.
//! An error, a null or a reply of another shape stops the bench, because fast wrong answers are worth nothing.

use crate::Outcome;

/// Follows the RESP2 replies of one connection through reads that may end anywhere.
#[derive(Default)]
pub struct ReplyCounter {
    /// Elements still to come in the current reply; 0 = the next byte begins a new reply.
    elements: usize,
    /// Bytes of a bulk string's body and its line end that are still to come.
    body: usize,
    /// The beginning of a header line that was cut off by the end of a read.
    line: Vec<u8>,
}

impl ReplyCounter {
    /// Consumes `input` up to the end of one reply. `false` means that the input ran out first.
    /// The reply's first line must begin with `expected`.
    pub fn next_reply(&mut self, input: &mut &[u8], expected: &[u8]) -> Outcome<bool> {
        loop {
            if self.body > 0 {
                let here = self.body.min(input.len());
                *input = &input[here..];
                self.body -= here;
                if self.body > 0 {
                    return Ok(false);
                }
                self.elements -= 1;
                if self.elements == 0 {
                    return Ok(true);
                }
            }
            let Some(end) = memchr::memchr(b'\n', input) else {
                self.line.extend_from_slice(input);
                *input = &[];
                return Ok(false);
            };
            let (header, rest) = input.split_at(end + 1);
            *input = rest;
            if self.line.is_empty() {
                self.header(header, expected)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(header);
                self.header(&line, expected)?;
                line.clear();
                self.line = line;
            }
            if self.elements == 0 {
                return Ok(true);
            }
        }
    }

    fn header(&mut self, line: &[u8], expected: &[u8]) -> Outcome<()> {
        if self.elements == 0 {
            if !line.starts_with(expected) {
                return Err(unexpected(line, expected));
            }
            self.elements = 1;
        }
        match line[0] {
            b'+' | b':' => self.elements -= 1,
            b'$' => self.body = length(line, expected)? + 2,
            b'*' => self.elements = self.elements - 1 + length(line, expected)?,
            _ => return Err(unexpected(line, expected)),
        }
        Ok(())
    }
}

/// The number in `$100\r\n` or `*20\r\n`. The minus sign of a null is no digit, so a null is refused here.
fn length(line: &[u8], expected: &[u8]) -> Outcome<usize> {
    let mut number = 0;
    for &byte in &line[1..line.len().saturating_sub(2)] {
        if !byte.is_ascii_digit() {
            return Err(unexpected(line, expected));
        }
        number = number * 10 + usize::from(byte - b'0');
    }
    Ok(number)
}

fn unexpected(line: &[u8], expected: &[u8]) -> Box<dyn std::error::Error> {
    let (line, expected) = (line.escape_ascii(), expected.escape_ascii());
    format!("expected a reply that begins with \"{expected}\", got \"{line}\"").into()
}
