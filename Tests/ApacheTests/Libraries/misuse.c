/* An application that breaks the rules of swiftgi.h, one a path, and answers
 * with the statuses that it got. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static swiftgi_status answer(swiftgi_request *request, const char *text)
{
    swiftgi_status status = server->start(request, 200, bytes(""), (int64_t)strlen(text));

    return status == SWIFTGI_OK ? server->write(request, bytes(text), SWIFTGI_LAST) : status;
}

/* The results of calls that all must be refused, as digits. */
static void note(char *results, swiftgi_status status)
{
    size_t n = strlen(results);

    results[n] = (char)('0' + status);
    results[n + 1] = '\0';
}

static swiftgi_status handle(void *application, swiftgi_request *request)
{
    char results[64] = "";
    char path[64];
    swiftgi_bytes value = { NULL, 0 };

    if (!server->variable(request, bytes("PATH_INFO"), &value) || value.count >= sizeof(path)) {
        return SWIFTGI_FAILED;
    }
    memcpy(path, value.start, value.count);
    path[value.count] = '\0';
    if (!strcmp(path, "/status")) {
        note(results, server->start(request, 0, bytes(""), -1));
        note(results, server->start(request, 101, bytes(""), -1));
        note(results, server->start(request, 600, bytes(""), -1));
        note(results, server->start(request, 200, bytes("O\r\nK"), -1));
    }
    else if (!strcmp(path, "/field")) {
        note(results, server->field(request, bytes("X-Early"), bytes("1")));
        server->start(request, 200, bytes(""), -1);
        note(results, server->field(request, bytes(""), bytes("1")));
        note(results, server->field(request, bytes("X A"), bytes("1")));
        note(results, server->field(request, bytes("X:"), bytes("1")));
        note(results, server->field(request, bytes("X-A"), bytes("1\r\nX-Injected: 1")));
        note(results, server->field(request, bytes("X-A"), bytes("1\n")));
        value.start = "a\0b";
        value.count = 3;
        note(results, server->field(request, bytes("X-A"), value));
        note(results, server->field(request, bytes("Transfer-Encoding"), bytes("chunked")));
        note(results, server->field(request, bytes("Connection"), bytes("close")));
    }
    else if (!strcmp(path, "/order")) {
        note(results, server->write(request, bytes("too early"), 0));
        note(results, server->send_file(request, STDERR_FILENO, 0, 1, 0));
    }
    else if (!strcmp(path, "/extent")) {
        server->start(request, 200, bytes(""), -1);
        note(results, server->send_file(request, STDERR_FILENO, -1, 1, 0));
        note(results, server->send_file(request, STDERR_FILENO, 0, 0, 0));
        note(results, server->send_file(request, STDERR_FILENO, 0, -1, 0));
    }
    else if (!strcmp(path, "/twice")) {
        /* A second head replaces what was not sent. */
        server->start(request, 500, bytes(""), -1);
        server->field(request, bytes("X-First"), bytes("1"));
    }
    else if (!strcmp(path, "/after")) {
        server->start(request, 200, bytes(""), -1);
        server->write(request, bytes("sent\n"), SWIFTGI_FLUSH);
        note(results, server->start(request, 500, bytes(""), -1));
        note(results, server->field(request, bytes("X-Late"), bytes("1")));
        server->write(request, bytes(results), SWIFTGI_LAST);
        return server->write(request, bytes("behind the end"), 0) == SWIFTGI_MISUSE ? SWIFTGI_OK : SWIFTGI_FAILED;
    }
    else if (!strcmp(path, "/incomplete")) {
        server->start(request, 200, bytes(""), -1);
        return SWIFTGI_OK;
    }
    else if (!strcmp(path, "/names")) {
        char name[512];

        memset(name, 'A', sizeof(name));
        value.start = name;
        value.count = sizeof(name);
        note(results, server->variable(request, value, &value) ? 1 : 0);
        value.start = "HTTP_\0HOST";
        value.count = 10;
        note(results, server->variable(request, value, &value) ? 1 : 0);
        note(results, server->variable(request, bytes(""), &value) ? 1 : 0);
        note(results, server->variable(request, bytes("HTTP_"), &value) ? 1 : 0);
        note(results, server->variable(request, bytes("HTTP_HOST"), &value) ? 1 : 0);
        note(results, server->variable(request, bytes("http_host"), &value) ? 1 : 0);
    }
    else if (!strcmp(path, "/log")) {
        value.start = "a\0b \x1b[31m \xff";
        value.count = 11;
        server->log(server, request, SWIFTGI_LOG_NOTICE, value);
        server->log(server, NULL, SWIFTGI_LOG_NOTICE, bytes("of this thread's request\nsecond line\n\n"));
        server->log(server, request, (swiftgi_level)0, bytes("level 0"));
        server->log(server, request, (swiftgi_level)99, bytes("level 99"));
        value.start = "before\0after";
        value.count = 12;
        server->log(server, request, SWIFTGI_LOG_NOTICE, value);
    }
    else if (!strcmp(path, "/log/long")) {
        /* Each byte of it takes four in the log. */
        static char line[20000];

        memset(line, 0xe9, sizeof(line));
        value.start = line;
        value.count = sizeof(line);
        server->log(server, request, SWIFTGI_LOG_NOTICE, value);
    }
    else {
        unsigned status = 0;

        sscanf(path, "/result/%u", &status);
        return (swiftgi_status)status;
    }
    return answer(request, results);
}

static void stop(void *application, uint32_t grace) {}

const swiftgi_application_table *swiftgi_application(void)
{
    static const swiftgi_application_table table = {
        .abi = SWIFTGI_ABI_VERSION,
        .size = sizeof(table),
        .name = { "misuse", 6 },
        .compiler = { "C", 1 },
        .start = start,
        .handle = handle,
        .stop = stop,
    };
    return &table;
}
