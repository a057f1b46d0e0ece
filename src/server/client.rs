//! One client's connection: decode everything that arrived, start everything, answer strictly in
//! order, one write per wake-up.
//!
//! Everything that waits here has a bound: unanswered requests (`limits.client_pipeline_max`), bytes
//! of a request not yet whole (`limits.request_bytes_max`), replies not yet read
//! (`limits.client_output_bytes_max`). At the first two we stop reading from the client, at the third
//! it is closed.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::connection::{self, Connection};
use super::listen::Stream;
use super::registry::Entry;
use super::worker::{READ_BYTES, Room};
use crate::command::{self, Plain};
use crate::engine::{self, Asker, Started};
use crate::error::Error;
use crate::outbox::{Broken, Outbox};
use crate::resp::request::{Decoder, RequestLimits};

/// While so many bytes of replies wait to be read by the client, no more of its requests are read.
const UNREAD_BYTES_MAX: usize = 64 * 1024;

/// Capacity that an idle client's buffers may keep.
const IDLE_BYTES_MAX: usize = 1024;

/// A client and its connection.
pub struct Client {
    room: Rc<Room>,
    socket: Socket,
    outbox: Rc<Outbox>,
    connection: Connection,
    limits: RequestLimits,
    decoder: Decoder,
    /// What has arrived and was not used up when it did.
    input: Vec<u8>,
    /// The request at the start of `input` is whole, this long, and has to wait.
    held: Option<usize>,
    output: Vec<u8>,
    written: usize,
    last_read: Instant,
    /// There are whole requests in `input` that wait until less is under way or unread.
    full: bool,
    /// Nothing more is read: the client has closed its side, or we are draining.
    no_more: bool,
    /// No more requests are taken, not even those that have arrived: QUIT or broken framing.
    ending: bool,
}

/// How long a client that was just served may take to read its last replies when we close.
const LINGER: Duration = Duration::from_secs(1);

/// Why a client's task stops polling.
enum Turn {
    /// There is more to do, but others come first: also those whose sockets have yet to be asked.
    Yield,
    /// It is over.
    End(End),
}

/// Why a client's task ends.
enum End {
    /// Everything was answered and written, or the client is gone.
    Over,
    /// It is closed for not reading its replies.
    Unread,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    /// A client for an accepted connection.
    ///
    /// # Errors
    /// The system refuses to watch the socket.
    pub fn new(room: Rc<Room>, entry: Arc<Entry>, stream: Stream) -> io::Result<Client> {
        let socket = match stream {
            Stream::Tcp(stream, ..) => Socket::Tcp(TcpStream::from_std(stream)?),
            Stream::Unix(stream, _) => Socket::Unix(UnixStream::from_std(stream)?),
        };
        let config = &room.common.config;
        let outbox = Rc::new(Outbox::new(
            config.limits.client_output_bytes_max,
            room.buffers.clone(),
        ));
        room.enter(entry.id, &outbox);
        Ok(Client {
            limits: RequestLimits {
                bytes_max: config.limits.request_bytes_max,
                args_max: config.limits.request_args_max,
                inline_bytes_max: config.limits.inline_bytes_max,
            },
            connection: Connection::new(&room.common, entry),
            socket,
            outbox,
            decoder: Decoder::default(),
            input: Vec::new(),
            held: None,
            output: Vec::new(),
            written: 0,
            last_read: Instant::now(),
            full: false,
            no_more: false,
            ending: false,
            room,
        })
    }

    /// Serves the client to its end.
    pub async fn run(mut self) {
        let end = loop {
            match poll_fn(|cx| self.poll(cx)).await {
                Turn::Yield => tokio::task::yield_now().await,
                Turn::End(end) => break end,
            }
        };
        if let End::Over = end {
            self.linger().await;
        }
        if let End::Unread = end {
            self.room.worker.metrics.unread_clients.add();
            tracing::warn!(
                client = self.connection.id(),
                "closed a client that does not read its replies (limits.client_output_bytes_max)"
            );
        }
        self.outbox.close();
        self.room.leave(self.connection.id());
    }

    /// Closes in two steps if the client is active: no more from us, then what it still sends is thrown
    /// away until it closes too. Closing at once while bytes from it are unread would take back replies
    /// that it has not read yet.
    async fn linger(&mut self) {
        if self.last_read.elapsed() > LINGER {
            return;
        }
        let room = self.room.clone();
        let closed = async {
            poll_fn(|cx| self.socket.poll_shutdown(cx)).await?;
            while poll_fn(|cx| self.socket.poll_read(cx, &mut room.scratch.borrow_mut())).await? > 0
            {
            }
            Ok::<(), io::Error>(())
        };
        // Gone, closed or too slow: all the same now.
        let _ = tokio::time::timeout(LINGER, closed).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.outbox.register(cx.waker());
        loop {
            self.start_waiting();
            if let Err(end) = self.poll_write(cx) {
                return Poll::Ready(Turn::End(end));
            }
            if self.is_over() {
                return Poll::Ready(Turn::End(End::Over));
            }
            if self.full && self.may_start() {
                // Writing has made room.
                return Poll::Ready(Turn::Yield);
            }
            if !self.wants_more() {
                return Poll::Pending;
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(len)) if len < READ_BYTES => {}
                Poll::Ready(Ok(_)) => {
                    // There is more.
                    return Poll::Ready(match self.poll_write(cx) {
                        Ok(()) => Turn::Yield,
                        Err(end) => Turn::End(end),
                    });
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Turn::End(End::Over)),
                Poll::Pending if self.room.draining.get() => {
                    // All that had arrived by now is accepted; what comes later is not.
                    self.no_more = true;
                }
                Poll::Pending => {
                    self.release();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether another request may start: the client has not too many under way, nor too much unread.
    fn may_start(&self) -> bool {
        let (waiting, kept_bytes) = self.outbox.load();
        !self.ending
            && kept_bytes + self.output.len() - self.written < UNREAD_BYTES_MAX
            && waiting < self.room.common.config.limits.client_pipeline_max
    }

    /// Whether more requests may be read now.
    fn wants_more(&self) -> bool {
        !self.no_more && !self.full && self.held.is_none() && self.may_start()
    }

    /// Whether nothing is owed to the client.
    fn is_answered(&self) -> bool {
        self.outbox.waiting() == 0 && self.output.is_empty() && self.held.is_none()
    }

    /// Whether nothing more will come of it.
    fn is_over(&self) -> bool {
        (self.ending || (self.no_more && !self.full)) && self.is_answered()
    }

    /// Reads once, and starts what it brought; answers how many bytes that was.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = self.room.clone();
        let mut scratch = room.scratch.borrow_mut();
        let len = match self.socket.poll_read(cx, &mut scratch) {
            Poll::Ready(Ok(len)) => len,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        if len == 0 {
            self.no_more = true;
            return Poll::Ready(Ok(len));
        }
        let now = Instant::now();
        self.last_read = now;
        self.connection.active(now);
        let arrived = scratch.get(..len).unwrap_or_default();
        if self.input.is_empty() {
            let used = self.start(arrived, now);
            self.input
                .extend_from_slice(arrived.get(used..).unwrap_or_default());
        } else {
            self.input.extend_from_slice(arrived);
            self.start_input(now);
        }
        Poll::Ready(Ok(len))
    }

    /// Starts whole requests that wait in the input, if they may start by now.
    fn start_waiting(&mut self) {
        if (self.full || self.held.is_some()) && self.may_start() {
            self.start_input(Instant::now());
        }
    }

    fn start_input(&mut self, now: Instant) {
        let input = std::mem::take(&mut self.input);
        let used = self.start(&input, now);
        self.input = input;
        self.input.drain(..used);
    }

    /// Starts the requests in `bytes` as far as they are whole and may start; answers how many bytes
    /// are used up.
    fn start(&mut self, bytes: &[u8], now: Instant) -> usize {
        let mut used = 0;
        self.full = false;
        while used < bytes.len() {
            if !self.may_start() {
                self.full = !self.ending;
                break;
            }
            let rest = bytes.get(used..).unwrap_or_default();
            let len = match self.held.take() {
                Some(len) => len,
                None => match self.decode(rest) {
                    Some(len) => len,
                    None => break,
                },
            };
            if self.start_one(rest, len, now) == Started::MustWait {
                self.held = Some(len);
                break;
            }
            used += len;
        }
        // After broken framing or QUIT nothing that follows is looked at.
        if self.ending { bytes.len() } else { used }
    }

    fn decode(&mut self, rest: &[u8]) -> Option<usize> {
        let limits = if self.connection.is_let_in() {
            self.limits
        } else {
            self.limits.unauthenticated()
        };
        match self.decoder.decode(rest, &limits) {
            Ok(len) => len,
            Err(error) => {
                self.break_framing(&error.0);
                None
            }
        }
    }

    fn start_one(&mut self, rest: &[u8], len: usize, now: Instant) -> Started {
        let request = self.decoder.request(rest, len);
        if request.is_empty() {
            return Started::Yes;
        }
        let name = request.arg(0);
        if name.eq_ignore_ascii_case(b"POST") || name.eq_ignore_ascii_case(b"Host:") {
            // A browser that was talked into posting here (cross protocol scripting).
            tracing::warn!(
                client = self.connection.id(),
                "closed a client that speaks HTTP"
            );
            self.ending = true;
            return Started::Yes;
        }
        let database = self.connection.database().clone();
        let asker = Asker {
            outbox: &self.outbox,
            protocol: self.connection.protocol(),
            database: &database,
            now,
        };
        let worker = &self.room.worker;
        let plain = match command::is_ours(name) {
            true => None,
            false => Some(command::plain(&request)),
        };
        if let Some(Plain::Connection(command)) = plain {
            let common = &self.room.common;
            let answer = self
                .connection
                .answer(command, &request, common, worker, &asker);
            return match answer {
                connection::Answer::Started(started) => started,
                connection::Answer::Quit => {
                    self.ending = true;
                    Started::Yes
                }
            };
        }
        if !self.connection.is_let_in() {
            self.outbox.answer(b"-NOAUTH Authentication required.\r\n");
            return Started::Yes;
        }
        if let Some(error) = self.connection.refuses(plain, &request) {
            worker.note(&error);
            self.outbox.answer(&engine::error_reply(&error));
            return Started::Yes;
        }
        match plain {
            Some(plain) => engine::start_plain(worker, &asker, plain, &request),
            None => engine::start_ours(worker, &asker, &request),
        }
    }

    fn break_framing(&mut self, what: &str) {
        let error = Error::wire(what);
        self.room.worker.note(&error);
        self.outbox.answer(&engine::error_reply(&error));
        self.ending = true;
    }

    /// Writes the replies that are ready, as far as the client takes them.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        match self.outbox.take(&mut self.output) {
            Some(Broken::Unread) => return Err(End::Unread),
            // Whole replies that came before still leave.
            Some(Broken::CutReply) => self.ending = true,
            None => {}
        }
        while self.written < self.output.len() {
            let rest = self.output.get(self.written..).unwrap_or_default();
            match self.socket.poll_write(cx, rest) {
                Poll::Ready(Ok(len)) => self.written += len,
                Poll::Ready(Err(_)) => return Err(End::Over),
                Poll::Pending => break,
            }
        }
        if self.written == self.output.len() {
            self.room.buffers.give(std::mem::take(&mut self.output));
            self.written = 0;
        } else if self.written > UNREAD_BYTES_MAX {
            self.output.drain(..self.written);
            self.written = 0;
        }
        let unread = self.output.len() - self.written;
        if unread > self.room.common.config.limits.client_output_bytes_max {
            return Err(End::Unread);
        }
        Ok(())
    }

    /// Gives memory back that an idle client does not need.
    fn release(&mut self) {
        if !self.is_answered() {
            return;
        }
        if self.input.is_empty() {
            self.decoder.release();
            if self.input.capacity() > IDLE_BYTES_MAX {
                self.input = Vec::new();
            }
        }
        self.outbox.release();
    }
}

impl Socket {
    // `AsyncRead` rather than `try_read`: it knows that a short read has emptied the socket, which
    // saves a system call for each request of a client that does not pipeline.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let read = match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buf),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, &mut buf),
        };
        read.map_ok(|()| buf.filled().len())
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }
}

/// The database a client has selected, shared with the replies that select another.
pub type Selected = Rc<Cell<u32>>;
