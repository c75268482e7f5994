"""The same answers by a WSGI application: for mod_wsgi and uWSGI."""
import os
import time
import zlib

DATA = os.environ.get("BENCH_DATA", ".")
HELLO = b"Hello, world!\n"
CHUNK = b"0123456789abcde\n"
NAMES = (
    "REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", "SERVER_NAME", "SERVER_PROTOCOL",
    "REMOTE_ADDR", "HTTP_HOST", "HTTP_USER_AGENT", "HTTP_ACCEPT", "HTTP_COOKIE",
)
TEXT = ("Content-Type", "text/plain")
BYTES = ("Content-Type", "application/octet-stream")


def load(name):
    with open(os.path.join(DATA, name), "rb") as file:
        return file.read()


JSON = load("app/json")
MEGABYTE = load("app/down")


def answer(start_response, kind, body):
    start_response("200 OK", [kind, ("Content-Length", str(len(body)))])
    return [body]


def hello(environ, start_response):
    return answer(start_response, TEXT, HELLO)


def variables(environ, start_response):
    get = environ.get
    text = "".join(["%s=%s\n" % (name, get(name, "")) for name in NAMES])
    return answer(start_response, TEXT, text.encode("latin-1"))


def json(environ, start_response):
    return answer(start_response, ("Content-Type", "application/json"), JSON)


def down(environ, start_response):
    return answer(start_response, BYTES, MEGABYTE)


def up(environ, start_response):
    read = environ["wsgi.input"].read
    left = int(environ.get("CONTENT_LENGTH") or 0)
    total = zlib.adler32(b"")
    while left > 0:
        piece = read(min(left, 65536))
        if not piece:
            break
        total = zlib.adler32(piece, total)
        left -= len(piece)
    return answer(start_response, TEXT, b"%08x\n" % total)


def file(environ, start_response):
    opened = open(os.path.join(DATA, "app/file"), "rb")
    size = os.fstat(opened.fileno()).st_size
    start_response("200 OK", [BYTES, ("Content-Length", str(size))])
    return environ["wsgi.file_wrapper"](opened, 65536)


def stream(environ, start_response):
    start_response("200 OK", [TEXT])
    return (CHUNK for _ in range(1000))


def wait(environ, start_response):
    time.sleep(0.05)
    return answer(start_response, TEXT, HELLO)


ROUTES = {
    "/hello": hello, "/app/environ": variables, "/app/json": json, "/app/down": down, "/app/up": up,
    "/app/file": file, "/app/stream": stream, "/app/wait": wait,
}


def application(environ, start_response):
    # SCRIPT_NAME and PATH_INFO are split differently by mod_wsgi and uWSGI.
    return ROUTES[environ["REQUEST_URI"].partition("?")[0]](environ, start_response)
