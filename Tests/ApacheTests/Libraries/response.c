/* An application whose responses the Swift side would not let through, or would
 * send in other pieces. PATH_INFO picks one; the log has each that ran. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "swiftgi.h"

static const swiftgi_server *server;

static swiftgi_bytes bytes(const char *text)
{
    swiftgi_bytes bytes = { text, strlen(text) };
    return bytes;
}

static swiftgi_status start(void *application, const swiftgi_server *given)
{
    server = given;
    return SWIFTGI_OK;
}

static void head(swiftgi_request *request, int status, int64_t length)
{
    server->start(request, (uint16_t)status, bytes(""), length);
    server->field(request, bytes("Content-Type"), bytes("text/plain"));
}

static void write_text(swiftgi_request *request, const char *text, uint32_t flags)
{
    server->write(request, bytes(text), flags);
}

/* A body of "0123456789" again and again, in one piece or in two. */
static void write_count(swiftgi_request *request, size_t count, size_t first)
{
    char text[64];
    swiftgi_bytes piece = { text, first };
    size_t i;

    for (i = 0; i < count; i++) text[i] = (char)('0' + i % 10);
    if (first > 0) server->write(request, piece, SWIFTGI_FLUSH);
    piece.start = text + first;
    piece.count = count - first;
    server->write(request, piece, SWIFTGI_LAST);
}

static void write_serial(swiftgi_request *request, uint32_t flags)
{
    static int serial;
    char text[32];

    snprintf(text, sizeof(text), "response %d\n",
             __atomic_add_fetch(&serial, 1, __ATOMIC_SEQ_CST));
    write_text(request, text, flags);
}

static swiftgi_status handle(void *application, swiftgi_request *request)
{
    char path[64], message[80];
    swiftgi_bytes value = { NULL, 0 };
    int status;

    if (!server->variable(request, bytes("PATH_INFO"), &value) || value.count >= sizeof(path)) {
        return SWIFTGI_FAILED;
    }
    memcpy(path, value.start, value.count);
    path[value.count] = '\0';
    snprintf(message, sizeof(message), "response ran %s", path);
    server->log(server, request, SWIFTGI_LOG_NOTICE, bytes(message));

    if (!strcmp(path, "/cacheable") || !strcmp(path, "/cacheable/cut")) {
        int is_cut = !strcmp(path, "/cacheable/cut");

        head(request, 200, -1);
        server->field(request, bytes("Cache-Control"), bytes("max-age=600"));
        write_serial(request, is_cut ? SWIFTGI_FLUSH : SWIFTGI_LAST);
        return is_cut ? SWIFTGI_FAILED : SWIFTGI_OK;
    }
    if (!strcmp(path, "/cut/unflushed")) {
        head(request, 200, -1);
        write_text(request, "a part\n", 0);
        return SWIFTGI_FAILED;
    }
    if (!strcmp(path, "/long") || !strcmp(path, "/long/pieces")) {
        head(request, 200, 5);
        write_count(request, 45, path[5] ? 3 : 0);
        return SWIFTGI_OK;
    }
    if (!strcmp(path, "/short") || !strcmp(path, "/short/pieces")) {
        head(request, 200, 500);
        write_count(request, 5, path[6] ? 3 : 0);
        return SWIFTGI_OK;
    }
    if (!strcmp(path, "/complete/failed")) {
        head(request, 200, -1);
        write_text(request, "complete\n", SWIFTGI_LAST);
        return SWIFTGI_FAILED;
    }
    if (sscanf(path, "/heads/%d", &status) == 1) {
        head(request, 401, -1);
        server->field(request, bytes("WWW-Authenticate"), bytes("Basic realm=\"first\""));
        server->field(request, bytes("Set-Cookie"), bytes("first=1"));
        head(request, status, -1);
        server->field(request, bytes("Set-Cookie"), bytes("second=2"));
        write_text(request, "second\n", SWIFTGI_LAST);
        return SWIFTGI_OK;
    }
    if (!strcmp(path, "/file/behind")) {
        /* As if the file had become shorter since it was looked at. */
        head(request, 200, -1);
        return server->send_file(request, open("/etc/passwd", O_RDONLY | O_CLOEXEC), 0,
                                 1000000, SWIFTGI_OWNED | SWIFTGI_LAST);
    }
    if (sscanf(path, "/status/%d", &status) == 1) {
        head(request, status, -1);
        write_text(request, "own\n", SWIFTGI_LAST);
        return SWIFTGI_OK;
    }
    return SWIFTGI_FAILED;
}

static void stop(void *application, uint32_t grace) {}

const swiftgi_application_table *swiftgi_application(void)
{
    static const swiftgi_application_table table = {
        .abi = SWIFTGI_ABI_VERSION,
        .size = sizeof(table),
        .name = { "response", 8 },
        .compiler = { "C", 1 },
        .start = start,
        .handle = handle,
        .stop = stop,
    };
    return &table;
}
