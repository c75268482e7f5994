/* streams.c: a client of many event streams at once.
 *
 *     streams PORT PATH STREAMS EVENTS HELLO_PATH
 *     streams PORT PATH STREAMS mute HELLO_PATH
 *
 * Opens STREAMS connections to 127.0.0.1:PORT, asks each for PATH, and reads EVENTS server-sent
 * events from each, which have to be numbered from 1 by their ids without a gap. A stream that has
 * its events is read further until all have theirs; then it closes them. A thread beside it asks for HELLO_PATH again and again on a connection of its own,
 * before there are streams and while all of them are open. One line of name=value pairs says
 * what came of it; the exit status is 0 if every event has come. With "mute" nothing is read from
 * any stream: ten seconds later they are closed. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How many connections are being opened at a time: less than a listen queue. */
#define OPENING 64

/* How long nothing may come from any stream. */
#define SILENCE_MILLISECONDS 20000

/* How long streams are open that are not read from. */
#define MUTE_SECONDS 10

#define SAMPLES 200000

struct stream {
    int fd;
    int is_open;     /* the head of the response has come */
    int has_failed;
    int is_done;
    long events;
    long number;     /* of the id that is being read */
    int matched;     /* how much of "\nid: " has been seen */
    int is_in_id;
};

enum phase { IDLE, OPENING_STREAMS, STREAMING, DONE };

static struct sockaddr_in address = { .sin_family = AF_INET };
static _Atomic int phase = IDLE;
static const char *hello_path;

struct samples {
    double values[SAMPLES];
    int count;
};
static struct samples idle, busy;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "streams: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double percentile(struct samples *samples, double part)
{
    if (samples->count == 0) return 0;
    qsort(samples->values, (size_t)samples->count, sizeof(double), compare);
    return samples->values[(int)(part * (samples->count - 1))] * 1e6;
}

/* Asks for the hello page, one request at a time, ten milliseconds apart. */
static void *ask(void *unused)
{
    char request[256], answer[4096];
    int fd = -1, one = 1, length;

    (void)unused;
    length = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                      hello_path);
    while (phase != DONE) {
        int before = phase;
        double begun;
        ssize_t count;

        if (fd < 0) {
            fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                die("hello: connect");
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        }
        begun = now();
        if (write(fd, request, (size_t)length) != length) die("hello: write");
        count = read(fd, answer, sizeof(answer));
        if (count <= 0 || strncmp(answer, "HTTP/1.1 200", 12)) {
            /* The server may close what was kept alive. */
            close(fd);
            fd = -1;
            continue;
        }
        if (before == (int)phase && (before == IDLE || before == STREAMING)) {
            struct samples *samples = before == IDLE ? &idle : &busy;

            if (samples->count < SAMPLES) samples->values[samples->count++] = now() - begun;
        }
        usleep(10000);
    }
    return NULL;
}

static void open_stream(struct stream *stream, int epoll, const char *request, size_t length)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = stream };

    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stream->fd < 0) die("socket");
    if (connect(stream->fd, (struct sockaddr *)&address, sizeof(address)) < 0) die("connect");
    if (write(stream->fd, request, length) != (ssize_t)length) die("write");
    fcntl(stream->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, stream->fd, &event) < 0) die("epoll_ctl");
}

/* Takes what has come: looks for ids, which have to follow each other. */
static void take(struct stream *stream, const char *bytes, ssize_t count)
{
    static const char mark[] = "\nid: ";
    ssize_t i;

    for (i = 0; i < count; i++) {
        char c = bytes[i];

        if (stream->is_in_id) {
            if (c >= '0' && c <= '9') {
                stream->number = stream->number * 10 + (c - '0');
                continue;
            }
            stream->is_in_id = 0;
            stream->events++;
            if (stream->number != stream->events) stream->has_failed = 1;
        }
        if (c == mark[stream->matched]) stream->matched++;
        else stream->matched = c == mark[0];
        if (!mark[stream->matched]) {
            stream->matched = 0;
            stream->is_in_id = 1;
            stream->number = 0;
        }
    }
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    struct stream *streams;
    struct epoll_event events[256];
    char request[512];
    pthread_t asker;
    double opened = 0, begun, first = 0, until;
    long count, wanted, total = 0, received = 0, i;
    int epoll, opening = 0, next = 0, done = 0, failed = 0, open = 0;
    size_t length;

    if (argc != 6) {
        fprintf(stderr, "usage: streams PORT PATH STREAMS EVENTS|mute HELLO_PATH\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    count = atol(argv[3]);
    wanted = atol(argv[4]);
    hello_path = argv[5];
    length = (size_t)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                              argv[2]);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    streams = calloc((size_t)count, sizeof(*streams));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!streams || epoll < 0) die("start");
    if (pthread_create(&asker, NULL, ask, NULL)) die("thread");
    sleep(3);
    phase = OPENING_STREAMS;
    begun = now();
    if (!strcmp(argv[4], "mute")) {
        for (; next < count; next++) open_stream(&streams[next], epoll, request, length);
        sleep(1);
        opened = now() - begun;
        first = now();
        phase = STREAMING;
        sleep(MUTE_SECONDS);
        done = (int)count;
    }
    while (done + failed < count) {
        int ready, n;

        while (opening < OPENING && next < count) {
            open_stream(&streams[next++], epoll, request, length);
            opening++;
        }
        ready = epoll_wait(epoll, events, 256, SILENCE_MILLISECONDS);
        if (ready == 0) {
            fprintf(stderr, "streams: nothing comes any more\n");
            break;
        }
        for (n = 0; n < ready; n++) {
            struct stream *stream = events[n].data.ptr;
            char bytes[16384];
            ssize_t got = read(stream->fd, bytes, sizeof(bytes));

            if (got < 0 && errno == EAGAIN) continue;
            if (!stream->is_open) {
                opening--;
                stream->is_open = 1;
                open++;
                if (got <= 0 || strncmp(bytes, "HTTP/1.1 200", 12)) stream->has_failed = 1;
                if (open == count) {
                    opened = now() - begun;
                    first = now();
                    phase = STREAMING;
                }
            }
            if (got > 0) take(stream, bytes, got);
            if (stream->is_done) {
                if (got <= 0) epoll_ctl(epoll, EPOLL_CTL_DEL, stream->fd, NULL);
                continue;
            }
            if (stream->events >= wanted || got <= 0 || stream->has_failed) {
                if (stream->events >= wanted && !stream->has_failed) {
                    done++;
                }
                else {
                    failed++;
                    epoll_ctl(epoll, EPOLL_CTL_DEL, stream->fd, NULL);
                }
                /* Streams that are done wait for the others, so that all are open. */
                stream->is_done = 1;
            }
        }
    }
    until = now();
    phase = DONE;
    pthread_join(asker, NULL);
    for (i = 0; i < count; i++) {
        received += streams[i].events;
        total += streams[i].events < wanted ? streams[i].events : wanted;
    }
    printf("streams=%ld events=%ld of=%ld received=%ld complete=%d failed=%d opened_s=%.1f streamed_s=%.1f "
           "hello_idle_p50_us=%.0f hello_idle_p99_us=%.0f hello_busy_p50_us=%.0f "
           "hello_busy_p99_us=%.0f hello_busy_count=%d\n",
           count, total, count * wanted, received, done, failed, opened, first > 0 ? until - first : 0,
           percentile(&idle, .5), percentile(&idle, .99), percentile(&busy, .5),
           percentile(&busy, .99), busy.count);
    return done == count ? 0 : 1;
}
