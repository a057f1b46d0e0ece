//! SESS.EXPLAIN: the facts. What it does needs an upstream to pretend with, so the engine does it.

use super::{Form, Kind, Missing, Row, form};

pub static ROW: Row = Row {
    name: "SESS.EXPLAIN",
    syntax: "command [argument ...]",
    summary: "Shows the upstream commands that a SESS.* command would send, without sending them.",
    reply: "array",
    form: Form::Count {
        min: 1,
        max: form::ANY,
    },
    writes: false,
    missing: Missing::Array,
    kind: Kind::Explain,
};
