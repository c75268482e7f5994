/* mod_limit.c: the least that a handler in httpd can do for "Hello, world!": what
 * an application's cost is measured against. */
#include <httpd.h>
#include <http_config.h>
#include <http_protocol.h>

static int handler(request_rec *r)
{
    static const char body[] = "Hello, world!\n";

    if (!r->handler || strcmp(r->handler, "limit")) return DECLINED;
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, sizeof(body) - 1);
    ap_rwrite(body, sizeof(body) - 1, r);
    return OK;
}

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA limit_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0
};
