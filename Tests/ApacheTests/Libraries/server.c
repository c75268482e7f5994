/* An HTTP server for the tests of process groups with a command, as unmodified as can be: it
 * knows nothing of SwiftGI, and SIGTERM ends it at once, whatever it is doing. Each connection
 * brings one request. It listens at --socket PATH or --port NUMBER, and answers
 *
 * /who         what the process is: NAME=value lines
 * /head        the request's head, as it came
 * /body        the request's body
 * /env/NAME    the variable's value
 * /sleep/N     the pid, after N milliseconds
 * /stream/N    N pieces of a chunked body, one every 10 ms, each the pid
 * /end/N       nothing: it ends with this status; above 128: by signal N - 128
 * /health      200, or 503 as long as the file SERVER_ILL exists
 * /socket      a WebSocket that sends back what comes; it knows the answer to the key of RFC 6455 only
 *
 * and 404 to the rest. Variables:
 *
 * SERVER_GATE      a file: it does not listen before the file exists
 * SERVER_REFUSES   a file: as long as it exists, the server ends with status 3 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD_SIZE 32768

static char arguments[2048];

typedef struct connection {
    int descriptor;
    char head[HEAD_SIZE + 1];
    size_t size, end; /* bytes that were read; of them, of the head */
} connection;

static int exists(const char *variable)
{
    const char *path = getenv(variable);

    return path && access(path, F_OK) == 0;
}

static void put(const connection *c, const char *data, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(c->descriptor, data, count, MSG_NOSIGNAL);

        if (sent <= 0) return;
        data += sent;
        count -= (size_t)sent;
    }
}

static void answer(const connection *c, const char *status, const char *body, size_t count)
{
    char head[200];

    snprintf(head, sizeof(head),
             "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             status, count);
    put(c, head, strlen(head));
    put(c, body, count);
}

static void answer_text(const connection *c, const char *body)
{
    answer(c, "200 OK", body, strlen(body));
}

static void answer_pid(const connection *c)
{
    char text[32];

    snprintf(text, sizeof(text), "%d", (int)getpid());
    answer_text(c, text);
}

/* Reads up to the end of the head; 0 if there is none. */
static int read_head(connection *c)
{
    char *end;

    while ((end = strstr(c->head, "\r\n\r\n")) == NULL) {
        ssize_t count = read(c->descriptor, c->head + c->size, HEAD_SIZE - c->size);

        if (count <= 0) return 0;
        c->size += (size_t)count;
        c->head[c->size] = '\0';
    }
    c->end = (size_t)(end - c->head) + 4;
    return 1;
}

static const char *field(const connection *c, const char *name)
{
    static __thread char value[1024];
    const char *line = strcasestr(c->head, name);

    if (!line || line > c->head + c->end) return NULL;
    line += strlen(name);
    while (*line == ' ') line++;
    snprintf(value, sizeof(value), "%.*s", (int)strcspn(line, "\r"), line);
    return value;
}

/* The next byte of the body; -1: there is none. */
static int get(connection *c)
{
    unsigned char byte;

    if (c->end < c->size) return (unsigned char)c->head[c->end++];
    return read(c->descriptor, &byte, 1) == 1 ? byte : -1;
}

static size_t get_chunk_size(connection *c)
{
    char line[32];
    size_t length = 0;
    int byte;

    while ((byte = get(c)) >= 0 && byte != '\n') {
        if (length < sizeof(line) - 1) line[length++] = (char)byte;
    }
    line[length] = '\0';
    return strtoul(line, NULL, 16);
}

static void echo_body(connection *c)
{
    const char *declared = field(c, "\r\nContent-Length:");
    size_t left = declared ? strtoul(declared, NULL, 10) : 0, size = 0, room = 65536;
    int is_chunked = !declared && field(c, "\r\nTransfer-Encoding:");
    char *body = malloc(room);

    if (field(c, "\r\nExpect:")) put(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    do {
        if (is_chunked) left = get_chunk_size(c);
        for (size_t i = 0; i < left; i++) {
            if (size == room) body = realloc(body, room *= 2);
            body[size++] = (char)get(c);
        }
        if (is_chunked && left) get_chunk_size(c);
    } while (is_chunked && left);
    answer(c, "200 OK", body, size);
    free(body);
}

static void stream(const connection *c, long count)
{
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    char piece[64];

    put(c, head, sizeof(head) - 1);
    while (count-- > 0) {
        char text[32];

        snprintf(text, sizeof(text), "%d\n", (int)getpid());
        snprintf(piece, sizeof(piece), "%zx\r\n%s\r\n", strlen(text), text);
        put(c, piece, strlen(piece));
        usleep(10000);
    }
    put(c, "0\r\n\r\n", 5);
}

/* Frames of less than 126 bytes, masked by the client and not by the server. */
static void serve_websocket(connection *c)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    const char *upgrade = field(c, "\r\nUpgrade:");
    char key[64];

    snprintf(key, sizeof(key), "%s", upgrade ? upgrade : "");
    if (strcasecmp(key, "websocket") || !field(c, "\r\nSec-WebSocket-Key:")
        || strcmp(field(c, "\r\nSec-WebSocket-Key:"), "dGhlIHNhbXBsZSBub25jZQ==")) {
        answer(c, "426 Upgrade Required", "", 0);
        return;
    }
    put(c, head, sizeof(head) - 1);
    for (;;) {
        int kind = get(c), length = get(c), i;
        unsigned char mask[4], frame[128];

        if (kind < 0 || !(length & 0x80) || (length & 0x7F) > 125) return;
        length &= 0x7F;
        for (i = 0; i < 4; i++) mask[i] = (unsigned char)get(c);
        frame[0] = (unsigned char)kind;
        frame[1] = (unsigned char)length;
        for (i = 0; i < length; i++) frame[2 + i] = (unsigned char)get(c) ^ mask[i % 4];
        put(c, (const char *)frame, (size_t)length + 2);
        if ((kind & 0x0F) == 8) return;
    }
}

static void tell_who(const connection *c)
{
    char text[4096], directory[1024] = "?";
    mode_t mask = umask(0);

    umask(mask);
    if (!getcwd(directory, sizeof(directory))) directory[0] = '\0';
    snprintf(text, sizeof(text), "pid=%d\nuid=%d\ngid=%d\numask=%03o\nhome=%s\narguments=%s\n",
             (int)getpid(), (int)getuid(), (int)getgid(), (unsigned)mask, directory, arguments);
    answer_text(c, text);
}

static void end(int status)
{
    if (status > 128) {
        signal(status - 128, SIG_DFL);
        kill(getpid(), status - 128);
        pause();
    }
    _exit(status);
}

static void serve(connection *c)
{
    char path[1024];

    if (!read_head(c) || sscanf(c->head, "%*s %1023s", path) != 1) return;
    if (!strcmp(path, "/who")) tell_who(c);
    else if (!strncmp(path, "/head", 5)) answer(c, "200 OK", c->head, c->end);
    else if (!strcmp(path, "/body")) echo_body(c);
    else if (!strncmp(path, "/env/", 5)) answer_text(c, getenv(path + 5) ? getenv(path + 5) : "");
    else if (!strncmp(path, "/sleep/", 7)) {
        usleep((useconds_t)atol(path + 7) * 1000);
        answer_pid(c);
    }
    else if (!strncmp(path, "/stream/", 8)) stream(c, atol(path + 8));
    else if (!strncmp(path, "/end/", 5)) end(atoi(path + 5));
    else if (!strcmp(path, "/health") && exists("SERVER_ILL"))
        answer(c, "503 Service Unavailable", "", 0);
    else if (!strcmp(path, "/health")) answer_pid(c);
    else if (!strcmp(path, "/socket")) serve_websocket(c);
    else answer(c, "404 Not Found", path, strlen(path));
}

static void *run(void *data)
{
    connection *c = data;

    serve(c);
    shutdown(c->descriptor, SHUT_WR);
    close(c->descriptor);
    free(c);
    return NULL;
}

static int listen_at(const char *kind, const char *where)
{
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    struct sockaddr_in port = { .sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)atoi(where)) };
    int is_local = !strcmp(kind, "--socket"), yes = 1;
    int listener = socket(is_local ? AF_UNIX : AF_INET, SOCK_STREAM, 0);

    snprintf(local.sun_path, sizeof(local.sun_path), "%s", where);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if ((is_local ? bind(listener, (struct sockaddr *)&local, sizeof(local))
                  : bind(listener, (struct sockaddr *)&port, sizeof(port)))
            < 0
        || listen(listener, 128) < 0) {
        perror(where);
        exit(2);
    }
    return listener;
}

int main(int argc, char *argv[])
{
    int listener, i;

    for (i = 0; i < argc; i++) {
        snprintf(arguments + strlen(arguments), sizeof(arguments) - strlen(arguments), "%s%s",
                 i ? " " : "", argv[i]);
    }
    if (argc < 3) return 64;
    if (exists("SERVER_REFUSES")) return 3;
    while (getenv("SERVER_GATE") && !exists("SERVER_GATE")) usleep(5000);
    listener = listen_at(argv[1], argv[2]);
    printf("serving\n");
    fflush(stdout);
    for (;;) {
        connection *c = calloc(1, sizeof(*c));
        pthread_t thread;

        c->descriptor = accept(listener, NULL, NULL);
        if (c->descriptor < 0) return 1;
        pthread_create(&thread, NULL, run, c);
        pthread_detach(thread);
    }
}
