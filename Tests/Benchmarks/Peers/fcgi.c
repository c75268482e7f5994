/* fcgi.c: the same answers by a FastCGI application on libfcgi.
 *
 *     fcgi [SOCKET [THREADS]]
 *
 * Without arguments it serves one request at a time on the socket that it is
 * started with, as mod_fcgid wants it. */
#include <fcgiapp.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "bench.h"

static bench_body json, megabyte;
static int listening;

static void answer(FCGX_Request *r, const char *type, const char *start, size_t count)
{
    FCGX_FPrintF(r->out, "Content-Type: %s\r\nContent-Length: %lu\r\n\r\n", type,
                 (unsigned long)count);
    FCGX_PutStr(start, (int)count, r->out);
}

static void serve(FCGX_Request *r)
{
    const char *path = FCGX_GetParam("REQUEST_URI", r->envp);
    char buffer[65536], text[8192];
    size_t count = 0, i;
    int n;

    if (!path) path = "";
    if (!strncmp(path, "/app/", 5)) path += 4;
    if (!strcmp(path, "/hello")) {
        answer(r, "text/plain", BENCH_HELLO, sizeof(BENCH_HELLO) - 1);
    }
    else if (!strncmp(path, "/environ", 8)) {
        for (i = 0; i < BENCH_VARIABLES; i++) {
            const char *value = FCGX_GetParam(bench_variables[i], r->envp);

            count += (size_t)snprintf(text + count, sizeof(text) - count, "%s=%s\n",
                                      bench_variables[i], value ? value : "");
        }
        answer(r, "text/plain", text, count);
    }
    else if (!strcmp(path, "/json")) {
        answer(r, "application/json", json.start, json.count);
    }
    else if (!strcmp(path, "/down")) {
        answer(r, "application/octet-stream", megabyte.start, megabyte.count);
    }
    else if (!strcmp(path, "/up")) {
        unsigned long sum = adler32(0, NULL, 0);

        while ((n = FCGX_GetStr(buffer, sizeof(buffer), r->in)) > 0) {
            sum = adler32(sum, (unsigned char *)buffer, (unsigned)n);
        }
        answer(r, "text/plain", text, (size_t)snprintf(text, sizeof(text), "%08lx\n", sum));
    }
    else if (!strcmp(path, "/file")) {
        FILE *file = fopen(bench_path("app/file"), "rb");
        struct stat info;

        if (!file || fstat(fileno(file), &info)) {
            FCGX_PutS("Status: 404\r\n\r\n", r->out);
        }
        else {
            FCGX_FPrintF(
                r->out, "Content-Type: application/octet-stream\r\nContent-Length: %lu\r\n\r\n",
                (unsigned long)info.st_size);
            while ((count = fread(buffer, 1, sizeof(buffer), file)) > 0) {
                if (FCGX_PutStr(buffer, (int)count, r->out) < 0) break;
            }
        }
        if (file) fclose(file);
    }
    else if (!strcmp(path, "/stream")) {
        FCGX_PutS("Content-Type: text/plain\r\n\r\n", r->out);
        for (i = 0; i < BENCH_CHUNKS; i++) {
            FCGX_PutStr(BENCH_CHUNK, sizeof(BENCH_CHUNK) - 1, r->out);
            if (FCGX_FFlush(r->out) < 0) break;
        }
    }
    else if (!strcmp(path, "/body/102400")) {
        static const char zeros[102400];

        answer(r, "application/octet-stream", zeros, sizeof(zeros));
    }
    else if (!strcmp(path, "/wait")) {
        usleep(BENCH_WAIT);
        answer(r, "text/plain", BENCH_HELLO, sizeof(BENCH_HELLO) - 1);
    }
    else {
        FCGX_PutS("Status: 404\r\n\r\n", r->out);
    }
}

static void *accept_all(void *unused)
{
    FCGX_Request request;

    FCGX_InitRequest(&request, listening, 0);
    while (FCGX_Accept_r(&request) == 0) {
        char rest[1024];

        serve(&request);
        /* What is left of the body, or its end, would be taken for the next
         * request, and the connection closed. */
        while (FCGX_GetStr(rest, sizeof(rest), request.in) > 0) continue;
        FCGX_Finish_r(&request);
    }
    return unused;
}

int main(int argc, char **argv)
{
    int threads = argc > 2 ? atoi(argv[2]) : 1;

    json = bench_load("app/json");
    megabyte = bench_load("app/down");
    if (FCGX_Init()) return 1;
    if (argc > 1) {
        umask(0);
        listening = FCGX_OpenSocket(argv[1], 1024);
        if (listening < 0) return 1;
    }
    while (--threads > 0) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, accept_all, NULL)) return 1;
    }
    accept_all(NULL);
    return 0;
}
