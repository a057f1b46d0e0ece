//! The embedded engine at the end of an in-memory stream, so that a lane cannot tell the difference.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::epoch_ms;
use crate::embedded::Embedded;
use crate::resp::request::{Decoder, RequestLimits};

/// What the stream holds in each direction before the writer waits.
const STREAM_BYTES: usize = 64 * 1024;

/// Nobody but our own lanes talks to the engine, and they have applied the real limits.
const LIMITS: RequestLimits = RequestLimits {
    bytes_max: usize::MAX / 2,
    args_max: usize::MAX / 2,
    inline_bytes_max: 0,
};

/// A new connection to the engine, served by a task of this worker until its end closes.
pub fn connect(engine: &Embedded) -> DuplexStream {
    let (ours, theirs) = duplex(STREAM_BYTES);
    let connection = engine.connect();
    tokio::task::spawn_local(serve(connection, theirs));
    ours
}

async fn serve(mut connection: crate::embedded::Connection, mut stream: DuplexStream) {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let mut decoder = Decoder::default();
    while stream.read_buf(&mut input).await.is_ok_and(|n| n > 0) {
        let mut used = 0;
        while let Ok(Some(len)) = decoder.decode(&input[used..], &LIMITS) {
            let request = decoder.request(&input[used..], len);
            let args: Vec<&[u8]> = (0..request.len()).map(|at| request.arg(at)).collect();
            connection.execute(&args, epoch_ms(), &mut output);
            used += len;
        }
        input.drain(..used);
        if stream.write_all(&output).await.is_err() {
            return;
        }
        output.clear();
    }
}
