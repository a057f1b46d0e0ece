//! Replies as trees, by the `redis-protocol` crate: for the handshake with an upstream, where a
//! reply comes once a connection and clarity counts for more than speed.

use bytes::Bytes;
use redis_protocol::resp3::decode::complete::decode_bytes;
use redis_protocol::resp3::types::{BytesFrame, Resp3Frame};

/// What `HELLO` answered: pairs of a name and a value, as text.
///
/// Reads the RESP3 map and the RESP2 flat array alike. Empty for anything else.
pub fn hello_pairs(raw: &[u8]) -> Vec<(String, String)> {
    let frame = match decode_bytes(&Bytes::copy_from_slice(raw)) {
        Ok(Some((frame, _))) => frame,
        _ => return Vec::new(),
    };
    match frame {
        BytesFrame::Map { data, .. } => data
            .iter()
            .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
            .collect(),
        BytesFrame::Array { data, .. } => data
            .chunks_exact(2)
            .filter_map(|pair| Some((text(pair.first()?)?, text(pair.get(1)?)?)))
            .collect(),
        _ => Vec::new(),
    }
}

fn text(frame: &BytesFrame) -> Option<String> {
    match frame {
        BytesFrame::Number { data, .. } => Some(data.to_string()),
        other => other.as_str().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_is_read_in_both_protocols() {
        let expected = vec![("proto".to_owned(), "2".to_owned())];
        assert_eq!(hello_pairs(b"*2\r\n$5\r\nproto\r\n:2\r\n"), expected);
        assert_eq!(hello_pairs(b"%1\r\n$5\r\nproto\r\n:2\r\n"), expected);
        assert!(hello_pairs(b"-ERR unknown command\r\n").is_empty());
        assert!(hello_pairs(b"").is_empty());
    }
}
