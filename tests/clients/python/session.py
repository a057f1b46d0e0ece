"""redis-py against the sidecar: session.py PORT [PASSWORD]. Prints ok, or fails with a traceback."""

import sys
import threading

import redis

PORT = int(sys.argv[1])
PASSWORD = sys.argv[2] if len(sys.argv) > 2 else None


def connect(**options):
    return redis.Redis(
        host="127.0.0.1", port=PORT, password=PASSWORD, decode_responses=True, **options
    )


def pairs(reply):
    """A map, whichever protocol brought it."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))


def sessions(client):
    run = client.execute_command
    token = run("SESS.CREATE", "USER", "py", "IDLE", 100, "FIELDS", "cart", "[]", "theme", "dark")
    assert len(token) == 48, token
    assert pairs(run("SESS.GET", token)) == {"cart": "[]", "theme": "dark"}
    assert run("SESS.GET", token, "theme", "nothing") == ["dark", None]
    assert run("SESS.SET", token, "cart", "[1]", "n", 5) == 2
    assert run("SESS.INCR", token, "n", 2) == 7
    assert run("SESS.POP", token, "n") == ["7"]
    assert run("SESS.UNSET", token, "theme") == 1
    assert 0 < run("SESS.TOUCH", token) <= 100_000
    info = pairs(run("SESS.INFO", token))
    assert info["handle"] == token[:16] and info["user"] == "py", info
    new = run("SESS.ROTATE", token, "GRACE", 0)
    assert new[:16] == token[:16] and new != token
    assert run("SESS.GET", token) is None
    assert [pairs(s)["handle"] for s in run("SESS.LIST", "py")] == [new[:16]]
    other = run("SESS.CREATE", "USER", "py")
    assert run("SESS.LOGOUT", "py", "EXCEPT", new) == 1
    assert run("SESS.GET", other) is None
    assert run("SESS.DESTROY", new) == 1
    assert run("SESS.GET", new) is None
    try:
        run("SESS.GET")
        raise AssertionError("no error")
    except redis.ResponseError as error:
        assert "SESS.GET token" in str(error), error


def plain(client):
    client.flushdb()
    assert client.set("k", "v", ex=100) and client.get("k") == "v"
    assert client.get("nothing") is None
    assert 0 < client.ttl("k") <= 100
    assert client.hset("h", mapping={"a": "1", "b": "2"}) == 2
    assert client.hgetall("h") == {"a": "1", "b": "2"}
    assert client.zadd("z", {"one": 1, "two": 2.5}) == 2
    assert [list(pair) for pair in client.zrange("z", 0, -1, withscores=True)] == [
        ["one", 1.0],
        ["two", 2.5],
    ]
    assert client.sadd("s", "x", "y") == 2 and client.smembers("s") == {"x", "y"}
    assert sorted(client.scan_iter("?")) == ["h", "k", "s", "z"]
    pipe = client.pipeline(transaction=False)
    for n in range(500):
        pipe.set(f"p{n}", n)
        pipe.get(f"p{n}")
    replies = pipe.execute()
    assert replies[1::2] == [str(n) for n in range(500)]
    try:
        client.execute_command("NOSUCHCOMMAND")
        raise AssertionError("no error")
    except redis.ResponseError:
        pass
    assert client.ping() and client.echo("hello") == "hello"
    assert "redis_version" in client.info()
    assert client.client_id() > 0 and client.client_getname() == "web"
    # Another database is another database.
    with connect(db=3) as third:
        third.delete("k")
        third.set("k", "third")
    assert client.get("k") == "v"


def many_threads(client):
    """The pool opens a connection for each thread; each must get its own replies."""
    failures = []

    def work(name):
        try:
            for n in range(100):
                assert client.set(f"t{name}", f"{name}-{n}")
                assert client.get(f"t{name}") == f"{name}-{n}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


for protocol in (2, 3, None):
    # None is what the library does unasked.
    options = {"client_name": "web"} | ({"protocol": protocol} if protocol else {})
    with connect(**options) as client:
        sessions(client)
        plain(client)
        many_threads(client)
print("ok")
