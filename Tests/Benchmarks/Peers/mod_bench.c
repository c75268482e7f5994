/* mod_bench.c: the same answers by a handler in C, the limit that everything is
 * compared with. It does what a careful author would: no copy of a body that
 * stays, no variables that nobody asks for. */
#include <httpd.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>
#include <util_script.h>

#include <unistd.h>
#include <zlib.h>

#include "bench.h"

static bench_body json, megabyte;
static char *largest;
static int maps;

/* A body that stays where it is, and its end. */
static int answer(request_rec *r, const char *type, const char *start, size_t count)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_bucket_alloc_t *list = r->connection->bucket_alloc;

    ap_set_content_type(r, type);
    ap_set_content_length(r, (apr_off_t)count);
    if (count) APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_immortal_create(start, count, list));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(list));
    return ap_pass_brigade(r->output_filters, bb) == APR_SUCCESS ? OK : AP_FILTER_ERROR;
}

static int hello(request_rec *r)
{
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, sizeof(BENCH_HELLO) - 1);
    ap_rwrite(BENCH_HELLO, sizeof(BENCH_HELLO) - 1, r);
    return OK;
}

static int variables(request_rec *r)
{
    char text[8192];
    size_t count = 0, i;

    ap_add_common_vars(r);
    ap_add_cgi_vars(r);
    for (i = 0; i < BENCH_VARIABLES; i++) {
        const char *value = apr_table_get(r->subprocess_env, bench_variables[i]);

        count += (size_t)apr_snprintf(text + count, sizeof(text) - count, "%s=%s\n",
                                      bench_variables[i], value ? value : "");
    }
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, (apr_off_t)count);
    ap_rwrite(text, (int)count, r);
    return OK;
}

static int up(request_rec *r)
{
    unsigned long sum = adler32(0, NULL, 0);
    char buffer[65536], text[16];
    long count;
    int status = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);

    if (status != OK) return status;
    if (ap_should_client_block(r)) {
        while ((count = ap_get_client_block(r, buffer, sizeof(buffer))) > 0) {
            sum = adler32(sum, (unsigned char *)buffer, (unsigned)count);
        }
        if (count < 0) return HTTP_BAD_REQUEST;
    }
    count = apr_snprintf(text, sizeof(text), "%08lx\n", sum);
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, count);
    ap_rwrite(text, (int)count, r);
    return OK;
}

static int file(request_rec *r)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    apr_int32_t sendfile =
        core->enable_sendfile == ENABLE_SENDFILE_ON ? APR_SENDFILE_ENABLED : 0;
    apr_file_t *opened;
    apr_finfo_t info;

    if (apr_file_open(&opened, bench_path("app/file"), APR_READ | APR_BINARY | sendfile,
                      APR_OS_DEFAULT, r->pool)
            != APR_SUCCESS
        || apr_file_info_get(&info, APR_FINFO_SIZE, opened) != APR_SUCCESS) {
        return HTTP_NOT_FOUND;
    }
    ap_set_content_type(r, "application/octet-stream");
    ap_set_content_length(r, info.size);
    apr_brigade_insert_file(bb, opened, 0, info.size, r->pool);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(r->connection->bucket_alloc));
    return ap_pass_brigade(r->output_filters, bb) == APR_SUCCESS ? OK : AP_FILTER_ERROR;
}

static int stream(request_rec *r)
{
    int i;

    ap_set_content_type(r, "text/plain");
    for (i = 0; i < BENCH_CHUNKS; i++) {
        if (ap_rwrite(BENCH_CHUNK, sizeof(BENCH_CHUNK) - 1, r) < 0 || ap_rflush(r) < 0)
            return AP_FILTER_ERROR;
    }
    return OK;
}

static int handler(request_rec *r)
{
    const char *path = r->uri;

    if (!r->handler || strcmp(r->handler, "bench")) return DECLINED;
    if (!strcmp(path, "/hello")) return hello(r);
    if (strncmp(path, "/app/", 5)) return DECLINED;
    path += 5;
    if (!strcmp(path, "environ")) return variables(r);
    if (!strcmp(path, "json")) return answer(r, "application/json", json.start, json.count);
    if (!strcmp(path, "down")) {
        return answer(r, "application/octet-stream", megabyte.start, megabyte.count);
    }
    if (!strcmp(path, "up")) return up(r);
    if (!strcmp(path, "file")) return file(r);
    if (!strcmp(path, "stream")) return stream(r);
    if (!strcmp(path, "wait")) {
        usleep(BENCH_WAIT);
        return hello(r);
    }
    if (!strncmp(path, "body/", 5)) {
        long count = strtol(path + 5, NULL, 10);

        if (count < 0 || count > BENCH_LARGEST || !largest) return HTTP_NOT_FOUND;
        return answer(r, "application/octet-stream", largest, (size_t)count);
    }
    return HTTP_NOT_FOUND;
}

static void child_init(apr_pool_t *pool, server_rec *s)
{
    (void)pool, (void)s;
    maps = ap_exists_config_define("BENCH_MAPS");
    json = bench_load("app/json");
    megabyte = bench_load("app/down");
    /* Not touched before somebody asks for it. */
    largest = calloc(1, BENCH_LARGEST);
}

/* With "Define BENCH_MAPS" its URLs are no files, as those of SwiftGIScriptAlias
 * are none of the document root: what httpd would do to find them, and to see who
 * may have them, is spared. A handler below a Location does without that. */
static int map_to_storage(request_rec *r)
{
    if (!maps) return DECLINED;
    return !strcmp(r->uri, "/hello") || !strncmp(r->uri, "/app/", 5) ? OK : DECLINED;
}

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA bench_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0
};
