//! SESS.HELP: the table, for people.

use super::{Call, Form, Kind, Missing, Order, Row, TABLE, find};
use crate::error::{Error, quoted};
use crate::plan::{Env, Step};
use crate::resp::write;

pub static ROW: Row = Row {
    name: "SESS.HELP",
    syntax: "[command]",
    summary: "Shows syntax and summary of all SESS.* commands, or of one.",
    reply: "array",
    form: Form::Count { min: 0, max: 1 },
    writes: false,
    missing: Missing::Array,
    kind: Kind::Free {
        order: Order::Any,
        plan,
    },
};

fn plan(call: &Call, _env: &Env<'_>) -> Result<Step, Error> {
    let rows: Vec<&Row> = match call.args.get(0) {
        b"" => TABLE.to_vec(),
        name => {
            let full = [b"SESS.", name].concat();
            let row = find(name).or_else(|| find(&full)).ok_or_else(|| {
                Error::client(format!(
                    "ERR no SESS.* command {}, try SESS.HELP",
                    quoted(name)
                ))
            })?;
            vec![row]
        }
    };
    Ok(Step::reply(|out| {
        write::array(out, rows.len() * 2);
        for row in rows {
            write::bulk(
                out,
                format!("{} {}", row.name, row.syntax).trim_end().as_bytes(),
            );
            write::bulk(
                out,
                format!("    {} Answers: {}.", row.summary, row.reply).as_bytes(),
            );
        }
    }))
}
