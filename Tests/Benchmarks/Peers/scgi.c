/* scgi.c: the same answers by an SCGI application, a thread for each of as many
 * connections at a time.
 *
 *     scgi SOCKET THREADS */
#include <pthread.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include "bench.h"

static bench_body json, megabyte;
static int listening;

/* A request: its variables as they came, and what came of its body. */
typedef struct {
    int fd;
    char buffer[65536];
    char *variables, *end; /* name, NUL, value, NUL, … */
    size_t body;           /* where the body begins in the buffer */
    size_t filled;
} request;

static const char *variable(const request *r, const char *name)
{
    char *at = r->variables;

    while (at < r->end) {
        char *value = at + strlen(at) + 1;

        if (value >= r->end) break;
        if (!strcmp(at, name)) return value;
        at = value + strlen(value) + 1;
    }
    return "";
}

/* Reads until all variables are there: LENGTH ":" variables ",". */
static int receive(request *r)
{
    r->filled = 0;
    while (r->filled < sizeof(r->buffer)) {
        ssize_t n = read(r->fd, r->buffer + r->filled, sizeof(r->buffer) - r->filled);
        char *colon;
        size_t length;

        if (n <= 0) return -1;
        r->filled += (size_t)n;
        colon = memchr(r->buffer, ':', r->filled < 10 ? r->filled : 10);
        if (!colon) continue;
        length = strtoul(r->buffer, NULL, 10);
        if (length > sizeof(r->buffer) - 16) return -1;
        r->variables = colon + 1;
        r->end = r->variables + length;
        r->body = (size_t)(r->end - r->buffer) + 1;
        if (r->filled >= r->body) return 0;
    }
    return -1;
}

static int write_all(int fd, struct iovec *parts, int count)
{
    while (count > 0) {
        ssize_t n = writev(fd, parts, count);

        if (n <= 0) return -1;
        while (count > 0 && (size_t)n >= parts->iov_len) {
            n -= (ssize_t)parts->iov_len;
            parts++, count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static void head(request *r, const char *type, size_t count, const void *start)
{
    char text[256];
    struct iovec parts[2];

    parts[0].iov_base = text;
    parts[0].iov_len =
        (size_t)snprintf(text, sizeof(text),
                         "Status: 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                         type, count);
    parts[1].iov_base = (void *)start;
    parts[1].iov_len = start ? count : 0;
    write_all(r->fd, parts, 2);
}

static void put(request *r, const char *text)
{
    struct iovec part = { (void *)text, strlen(text) };

    write_all(r->fd, &part, 1);
}

static void serve(request *r)
{
    const char *path = variable(r, "REQUEST_URI");
    char text[8192];
    size_t count = 0, i;

    if (!strncmp(path, "/app/", 5)) path += 4;
    if (!strcmp(path, "/hello")) {
        head(r, "text/plain", sizeof(BENCH_HELLO) - 1, BENCH_HELLO);
    }
    else if (!strncmp(path, "/environ", 8)) {
        for (i = 0; i < BENCH_VARIABLES; i++) {
            count += (size_t)snprintf(text + count, sizeof(text) - count, "%s=%s\n",
                                      bench_variables[i], variable(r, bench_variables[i]));
        }
        head(r, "text/plain", count, text);
    }
    else if (!strcmp(path, "/json")) {
        head(r, "application/json", json.count, json.start);
    }
    else if (!strcmp(path, "/down")) {
        head(r, "application/octet-stream", megabyte.count, megabyte.start);
    }
    else if (!strcmp(path, "/up")) {
        unsigned long sum = adler32(0, NULL, 0);
        unsigned long left = strtoul(variable(r, "CONTENT_LENGTH"), NULL, 10);
        size_t there = r->filled - r->body;

        sum = adler32(sum, (unsigned char *)r->buffer + r->body, (unsigned)there);
        left -= there < left ? there : left;
        while (left > 0) {
            ssize_t n = read(r->fd, r->buffer, sizeof(r->buffer));

            if (n <= 0) return;
            sum = adler32(sum, (unsigned char *)r->buffer, (unsigned)n);
            left -= (size_t)n < left ? (size_t)n : left;
        }
        head(r, "text/plain", (size_t)snprintf(text, sizeof(text), "%08lx\n", sum), text);
    }
    else if (!strcmp(path, "/file")) {
        int file = open(bench_path("app/file"), O_RDONLY | O_CLOEXEC);
        struct stat info;

        if (file >= 0 && !fstat(file, &info)) {
            off_t offset = 0;

            head(r, "application/octet-stream", (size_t)info.st_size, NULL);
            while (offset < info.st_size) {
                if (sendfile(r->fd, file, &offset, (size_t)(info.st_size - offset)) <= 0) break;
            }
        }
        if (file >= 0) close(file);
    }
    else if (!strcmp(path, "/stream")) {
        put(r, "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n");
        for (i = 0; i < BENCH_CHUNKS; i++) put(r, BENCH_CHUNK);
    }
    else if (!strcmp(path, "/wait")) {
        usleep(BENCH_WAIT);
        head(r, "text/plain", sizeof(BENCH_HELLO) - 1, BENCH_HELLO);
    }
    else {
        put(r, "Status: 404 Not Found\r\n\r\n");
    }
}

static void *accept_all(void *unused)
{
    request *r = malloc(sizeof(*r));

    while (r && (r->fd = accept(listening, NULL, NULL)) >= 0) {
        if (!receive(r)) serve(r);
        close(r->fd);
    }
    return unused;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int threads = argc > 2 ? atoi(argv[2]) : 1;

    if (argc < 2 || strlen(argv[1]) >= sizeof(address.sun_path)) return 2;
    signal(SIGPIPE, SIG_IGN);
    json = bench_load("app/json");
    megabyte = bench_load("app/down");
    strcpy(address.sun_path, argv[1]);
    umask(0);
    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof(address)))
        return 1;
    if (listen(listening, 1024)) return 1;
    while (--threads > 0) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, accept_all, NULL)) return 1;
    }
    accept_all(NULL);
    return 0;
}
