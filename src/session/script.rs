//! The one script, for the one question that only the server can answer: is this still so? If it is,
//! the fields are written in the same step.
//!
//! Two rotations of one token must not both succeed. Without a condition the second would overwrite
//! the secret whose token the first has just given out, and giving it back afterwards could bring a
//! destroyed session back. A script in one slot, off the hot path, is the honest way.

/// `EVAL script 1 <session key> <field> <expected value> <now, epoch ms> [<field> <value> ...]`
///
/// Writes the pairs, raises the version, gives the session its full TTL (by its own timeouts) and
/// answers the new version; answers 0 and writes nothing if the field holds anything else, or the
/// session is gone. The TTL is computed first and clamped (to 2^52, as when a record is read): an error
/// behind the first write would leave half of it.
pub const SET_IF_FIELD: &str = "\
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local idle = tonumber(redis.call('HGET', KEYS[1], '@i'))
local deadline = tonumber(redis.call('HGET', KEYS[1], '@a'))
if not idle or not deadline then return 0 end
local ttl = math.min(idle, deadline - tonumber(ARGV[3]), 4503599627370496)
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(1, ttl)))
return redis.call('HINCRBY', KEYS[1], '@v', 1)";
