//! The load: one thread, a poll loop over nonblocking sockets, requests formatted beforehand.
//!
//! Closed loop: each connection keeps a fixed number of operations in flight and starts the next one when one ends.
//! So throughput is what is measured; the latencies are those of saturation, not of a given rate of requests.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use crate::Outcome;
use crate::histogram::Histogram;
use crate::replies::ReplyCounter;

/// One request of an operation, formatted for every key.
pub struct Step {
    pub requests: Vec<Vec<u8>>,
    /// What the first line of each reply begins with.
    pub expected: &'static [u8],
}

/// An operation: steps on one key, each sent when the reply of the one before has come.
pub struct Operation {
    pub steps: Vec<Step>,
}

/// All connections to one contender.
pub struct Generator<'a> {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    state: State<'a>,
}

/// What the connections share.
struct State<'a> {
    operation: &'a Operation,
    latencies: Histogram,
    recording: bool,
    /// Begin no new operation: what is in flight ends, and then there is silence.
    draining: bool,
}

struct Connection {
    stream: TcpStream,
    replies: ReplyCounter,
    in_flight: VecDeque<Flight>,
    out: Vec<u8>,
    /// The keys of this connection alone, walked in a circle: no two requests in flight ask for the same one.
    keys: std::ops::Range<usize>,
    next_key: usize,
}

#[derive(Clone, Copy)]
struct Flight {
    began: Instant,
    key: usize,
    step: usize,
}

impl<'a> Generator<'a> {
    /// Connects, and starts `depth` operations on each connection. The keys are divided among the connections.
    pub fn start(
        address: SocketAddr,
        connections: usize,
        depth: usize,
        operation: &'a Operation,
    ) -> Outcome<Self> {
        let keys = operation.steps[0].requests.len() / connections;
        assert!(
            depth <= keys,
            "each operation in flight needs a key of its own"
        );
        let mut generator = Self {
            poll: Poll::new()?,
            events: Events::with_capacity(connections),
            connections: Vec::with_capacity(connections),
            buffer: vec![0; 64 * 1024],
            state: State {
                operation,
                latencies: Histogram::new(),
                recording: false,
                draining: false,
            },
        };
        for id in 0..connections {
            generator.connect(id, address, id * keys..(id + 1) * keys)?;
        }
        for connection in &mut generator.connections {
            let now = Instant::now();
            for _ in 0..depth {
                connection.begin(&generator.state, now);
            }
            connection.flush()?;
        }
        Ok(generator)
    }

    fn connect(
        &mut self,
        id: usize,
        address: SocketAddr,
        keys: std::ops::Range<usize>,
    ) -> Outcome<()> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        self.poll.registry().register(
            &mut stream,
            Token(id),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        self.connections.push(Connection {
            stream,
            replies: ReplyCounter::default(),
            in_flight: VecDeque::new(),
            out: Vec::new(),
            next_key: keys.start,
            keys,
        });
        Ok(())
    }

    /// Lets everything get warm; nothing is recorded.
    pub fn warm_up(&mut self, duration: Duration) -> Outcome<()> {
        self.run(duration)?;
        Ok(())
    }

    /// Records for `duration`, and returns how long it really was.
    pub fn measure(&mut self, duration: Duration) -> Outcome<Duration> {
        self.state.recording = true;
        let elapsed = self.run(duration);
        self.state.recording = false;
        elapsed
    }

    /// Waits for the replies of what is in flight, so that the next contender finds an idle Redis.
    pub fn finish(mut self) -> Outcome<Histogram> {
        self.state.draining = true;
        let deadline = Instant::now() + Duration::from_secs(5);
        while self
            .connections
            .iter()
            .any(|connection| !connection.in_flight.is_empty())
        {
            if Instant::now() > deadline {
                return Err("some replies never came".into());
            }
            self.turn(Duration::from_millis(10))?;
        }
        Ok(self.state.latencies)
    }

    fn run(&mut self, duration: Duration) -> Outcome<Duration> {
        let began = Instant::now();
        loop {
            let elapsed = began.elapsed();
            if elapsed >= duration {
                return Ok(elapsed);
            }
            self.turn(duration - elapsed)?;
        }
    }

    /// One turn of the poll loop: serves every connection that has something to read or room to write.
    fn turn(&mut self, timeout: Duration) -> Outcome<()> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            self.connections[event.token().0].serve(&mut self.state, &mut self.buffer)?;
        }
        Ok(())
    }
}

impl Connection {
    fn serve(&mut self, state: &mut State, buffer: &mut [u8]) -> Outcome<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err("the connection was closed while replies were due".into()),
                Ok(read) => {
                    self.replies_arrived(state, &buffer[..read])?;
                    // A short read means that the socket is empty: an event will tell when it is not.
                    if read < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.flush()
    }

    fn replies_arrived(&mut self, state: &mut State, mut input: &[u8]) -> Outcome<()> {
        // One look at the clock for all that came in one read.
        let now = Instant::now();
        while !input.is_empty() {
            let flight = *self
                .in_flight
                .front()
                .ok_or("a reply came that nobody asked for")?;
            let steps = &state.operation.steps;
            if !self
                .replies
                .next_reply(&mut input, steps[flight.step].expected)?
            {
                break;
            }
            self.in_flight.pop_front();
            if flight.step + 1 < steps.len() {
                self.send(
                    state,
                    Flight {
                        step: flight.step + 1,
                        ..flight
                    },
                );
                continue;
            }
            if state.recording {
                let latency = now.saturating_duration_since(flight.began);
                state.latencies.record(latency.as_nanos() as u64);
            }
            if !state.draining {
                self.begin(state, now);
            }
        }
        Ok(())
    }

    fn begin(&mut self, state: &State, now: Instant) {
        let key = self.next_key;
        self.next_key += 1;
        if self.next_key == self.keys.end {
            self.next_key = self.keys.start;
        }
        self.send(
            state,
            Flight {
                began: now,
                key,
                step: 0,
            },
        );
    }

    fn send(&mut self, state: &State, flight: Flight) {
        self.out
            .extend_from_slice(&state.operation.steps[flight.step].requests[flight.key]);
        self.in_flight.push_back(flight);
    }

    /// One write for everything that a wake-up started.
    fn flush(&mut self) -> Outcome<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(0) => return Err("the connection takes no more bytes".into()),
                Ok(written) if written == self.out.len() => self.out.clear(),
                Ok(written) => drop(self.out.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
