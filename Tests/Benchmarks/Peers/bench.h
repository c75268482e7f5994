/* bench.h: what the peers in C answer with. The bodies that are files are made
 * by the benchmark, in the directory that BENCH_DATA names. */
#ifndef BENCH_H
#define BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BENCH_HELLO "Hello, world!\n"
#define BENCH_CHUNK "0123456789abcde\n"
#define BENCH_CHUNKS 1000
#define BENCH_WAIT 50000 /* microseconds */
#define BENCH_LARGEST (100 << 20)

static const char *const bench_variables[] = {
    "REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING",    "SERVER_NAME", "SERVER_PROTOCOL",
    "REMOTE_ADDR",    "HTTP_HOST",   "HTTP_USER_AGENT", "HTTP_ACCEPT", "HTTP_COOKIE",
};
#define BENCH_VARIABLES (sizeof(bench_variables) / sizeof(*bench_variables))

typedef struct {
    char *start;
    size_t count;
} bench_body;

static inline const char *bench_path(const char *name)
{
    static _Thread_local char path[4096];
    const char *directory = getenv("BENCH_DATA");

    snprintf(path, sizeof(path), "%s/%s", directory ? directory : ".", name);
    return path;
}

/* A file's content, which stays; empty if there is none. */
static inline bench_body bench_load(const char *name)
{
    bench_body body = { NULL, 0 };
    FILE *file = fopen(bench_path(name), "rb");
    long size;

    if (!file) return body;
    if (!fseek(file, 0, SEEK_END) && (size = ftell(file)) > 0
        && (body.start = malloc((size_t)size))) {
        rewind(file);
        body.count = fread(body.start, 1, (size_t)size, file);
    }
    fclose(file);
    return body;
}

#endif
