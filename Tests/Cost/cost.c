/* cost.c: what one request costs inside an application library.
 *
 *     cost LIBRARY [REQUESTS [PATH_INFO]]
 *
 * A server of the least possible kind: it loads the library, answers every
 * question at once and throws the response away, so that what is left is the
 * library's own work. Prints allocations a request, and nanoseconds of processor time
 * for orientation. Instructions are counted by running it under callgrind with two
 * numbers of requests; see cost.sh. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "swiftgi.h"

/* ---- allocations, counted where every library finds them first ---- */

static unsigned long allocations;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) { allocations++; return __libc_malloc(size); }
void *calloc(size_t n, size_t size) { allocations++; return __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { allocations++; return __libc_realloc(p, size); }
void *aligned_alloc(size_t a, size_t size) { allocations++; return __libc_memalign(a, size); }
int posix_memalign(void **p, size_t a, size_t size)
{
    allocations++;
    *p = __libc_memalign(a, size);
    return *p ? 0 : 12;
}

/* ---- the server ---- */

struct swiftgi_request {
    const char *path_info;
    unsigned long bytes;
    int last;
};

static bool variable(swiftgi_request *x, swiftgi_bytes name, swiftgi_bytes *value)
{
    if (name.count == 9 && !memcmp(name.start, "PATH_INFO", 9)) {
        value->start = x->path_info;
        value->count = strlen(x->path_info);
        return true;
    }
    if (name.count == 14 && !memcmp(name.start, "REQUEST_METHOD", 14)) {
        value->start = "GET";
        value->count = 3;
        return true;
    }
    if (name.count == 11 && !memcmp(name.start, "REQUEST_URI", 11)) {
        value->start = "/hello";
        value->count = 6;
        return true;
    }
    return false;
}

static void line(swiftgi_request *x, swiftgi_line *l)
{
    static const swiftgi_line plain = { { "GET", 3 }, { "http", 4 }, { "/hello", 6 } };

    (void)x;
    *l = plain;
}

static void nothing(swiftgi_request *x, swiftgi_visitor visit, void *context)
{
    (void)x, (void)visit, (void)context;
}

/* What a load generator sends. */
static void fields(swiftgi_request *x, swiftgi_visitor visit, void *context)
{
    static const swiftgi_bytes host = { "Host", 4 }, value = { "localhost:8080", 14 };

    (void)x;
    visit(context, host, value);
}

static swiftgi_status read_none(swiftgi_request *x, void *b, size_t n, size_t *count)
{
    (void)x, (void)b, (void)n;
    *count = 0;
    return SWIFTGI_OK;
}

static swiftgi_status start(swiftgi_request *x, uint16_t s, swiftgi_bytes r, int64_t n)
{
    (void)x, (void)s, (void)r, (void)n;
    return SWIFTGI_OK;
}

static swiftgi_status field(swiftgi_request *x, swiftgi_bytes n, swiftgi_bytes v)
{
    (void)x, (void)n, (void)v;
    return SWIFTGI_OK;
}

static swiftgi_status write_piece(swiftgi_request *x, swiftgi_bytes piece, uint32_t flags)
{
    x->bytes += piece.count;
    x->last |= (flags & SWIFTGI_LAST) != 0;
    return SWIFTGI_OK;
}

static swiftgi_status send_file(swiftgi_request *x, int d, int64_t o, int64_t n, uint32_t f)
{
    (void)x, (void)d, (void)o, (void)n, (void)f;
    return SWIFTGI_SERVER_ERROR;
}

static bool is_client_gone(swiftgi_request *x) { (void)x; return false; }

static void log_message(const swiftgi_server *s, swiftgi_request *x, swiftgi_level l,
                        swiftgi_bytes message)
{
    (void)s, (void)x, (void)l;
    fprintf(stderr, "%.*s\n", (int)message.count, (const char *)message.start);
}

static const swiftgi_server server = {
    .abi = SWIFTGI_ABI_VERSION, .flags = SWIFTGI_MULTITHREAD, .size = sizeof(server),
    .mode = { "cost", 4 }, .software = { "cost", 4 }, .level = SWIFTGI_LOG_ERROR,
    .variable = variable, .variables = nothing, .fields = fields, .read = read_none,
    .start = start, .field = field, .write = write_piece, .send_file = send_file,
    .is_client_gone = is_client_gone, .log = log_message, .line = line,
};

/* Of this process: others that use the machine do not count. */
static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000, i, before;
    const swiftgi_application_table *(*entry)(void), *table;
    struct swiftgi_request x = { .path_info = argc > 3 ? argv[3] : "" };
    void *handle = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    double begin;

    if (!handle) {
        fprintf(stderr, "cost: %s\n", argc > 1 ? dlerror() : "name a library");
        return 2;
    }
    *(void **)&entry = dlsym(handle, SWIFTGI_APPLICATION_SYMBOL);
    table = entry ? entry() : NULL;
    if (!table || table->start(table->application, &server) != SWIFTGI_OK) return 1;
    /* The first requests make caches and metadata. */
    for (i = 0; i < 100; i++) {
        if (table->handle(table->application, &x) != SWIFTGI_OK || !x.last) return 1;
    }
    before = allocations;
    begin = seconds();
    for (i = 0; i < count; i++) table->handle(table->application, &x);
    printf("%lu requests: %.2f allocations, %.0f ns each\n", count,
           (double)(allocations - before) / (double)count,
           (seconds() - begin) * 1e9 / (double)count);
    return 0;
}
