//! Commands on the connection: handshakes, names, the selected database.
//!
//! Knows one connection, and nothing of data.

use super::fault::{Outcome, SYNTAX, arity, fixed, quoted, worded};
use super::parse::{integer, is};
use super::server::VERSION;
use super::store::DATABASES;
use super::table::Call;
use super::transaction;
use crate::resp::{Protocol, write};

/// `PING [message]`
pub(super) fn ping(call: &mut Call) -> Outcome {
    match call.args {
        [_] => write::simple(call.out, "PONG"),
        [_, message] => write::bulk(call.out, message),
        _ => return Err(arity("ping")),
    }
    Ok(())
}

/// `ECHO message`
pub(super) fn echo(call: &mut Call) -> Outcome {
    write::bulk(call.out, call.args[1]);
    Ok(())
}

/// `HELLO [protover [AUTH username password] [SETNAME name]]`
pub(super) fn hello(call: &mut Call) -> Outcome {
    let protocol = match call.args.get(1).map(|version| integer(version)) {
        None => call.client.protocol,
        Some(Ok(2)) => Protocol::Resp2,
        Some(Ok(3)) => Protocol::Resp3,
        Some(Ok(_)) => return Err(fixed("NOPROTO unsupported protocol version")),
        Some(Err(_)) => {
            return Err(fixed(
                "ERR Protocol version is not an integer or out of range",
            ));
        }
    };
    // Each option takes effect as it is read: one behind it that is wrong undoes nothing.
    let mut options = call.args.get(2..).unwrap_or_default();
    while let [option, rest @ ..] = options {
        options = match rest {
            [user, _password, rest @ ..] if is(option, "auth") => {
                check_user(user)?;
                rest
            }
            [name, rest @ ..] if is(option, "setname") => {
                check_name(name)?;
                call.client.name = name.to_vec();
                rest
            }
            _ => {
                let option = quoted(option);
                return Err(worded(format!(
                    "ERR Syntax error in HELLO option '{option}'"
                )));
            }
        };
    }
    call.client.protocol = protocol;
    write::map(call.out, protocol, 7);
    for (field, text) in [("server", "redis"), ("version", VERSION)] {
        write::bulk(call.out, field.as_bytes());
        write::bulk(call.out, text.as_bytes());
    }
    write::bulk(call.out, b"proto");
    write::integer(call.out, i64::from(protocol.number()));
    write::bulk(call.out, b"id");
    write::integer(call.out, call.client.id.cast_signed());
    for (field, text) in [("mode", "standalone"), ("role", "master")] {
        write::bulk(call.out, field.as_bytes());
        write::bulk(call.out, text.as_bytes());
    }
    write::bulk(call.out, b"modules");
    write::array(call.out, 0);
    Ok(())
}

/// The only user is `default`, which takes any password, as in a Redis without one.
fn check_user(user: &[u8]) -> Outcome {
    if user == b"default" {
        Ok(())
    } else {
        Err(fixed(
            "WRONGPASS invalid username-password pair or user is disabled.",
        ))
    }
}

/// `AUTH [username] password`
pub(super) fn auth(call: &mut Call) -> Outcome {
    match call.args {
        [_, _] => Err(fixed(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        )),
        [_, user, _] => {
            check_user(user)?;
            write::simple(call.out, "OK");
            Ok(())
        }
        _ => Err(SYNTAX),
    }
}

/// `SELECT index`
pub(super) fn select(call: &mut Call) -> Outcome {
    let index = i32::try_from(integer(call.args[1])?).map_err(|_| {
        fixed("ERR value is out of range, value must between -2147483648 and 2147483647")
    })?;
    call.client.db = usize::try_from(index)
        .ok()
        .filter(|index| *index < DATABASES)
        .ok_or(fixed("ERR DB index is out of range"))?;
    write::simple(call.out, "OK");
    Ok(())
}

/// QUIT: whoever owns the byte stream closes it behind the reply.
pub(super) fn quit(call: &mut Call) -> Outcome {
    write::simple(call.out, "OK");
    Ok(())
}

/// RESET: the connection is as a new one, but keeps its id.
pub(super) fn reset(call: &mut Call) -> Outcome {
    transaction::forget(call.client);
    call.client.db = 0;
    call.client.protocol = Protocol::default();
    call.client.name.clear();
    write::simple(call.out, "RESET");
    Ok(())
}

/// `CLIENT SETNAME name`
pub(super) fn client_setname(call: &mut Call) -> Outcome {
    check_name(call.args[2])?;
    call.client.name = call.args[2].to_vec();
    write::simple(call.out, "OK");
    Ok(())
}

fn check_name(name: &[u8]) -> Outcome {
    if name.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    Err(fixed(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

/// `CLIENT GETNAME`
pub(super) fn client_getname(call: &mut Call) -> Outcome {
    match call.client.name.as_slice() {
        [] => write::null(call.out, call.client.protocol),
        name => write::bulk(call.out, name),
    }
    Ok(())
}

/// `CLIENT ID`
pub(super) fn client_id(call: &mut Call) -> Outcome {
    write::integer(call.out, call.client.id.cast_signed());
    Ok(())
}
