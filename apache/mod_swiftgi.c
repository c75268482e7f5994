/* mod_swiftgi.c: the module's record and all its hooks, in the order in which
 * httpd comes to them. */
#include "sgi_private.h"
#include "sgi_check.h"
#include "sgi_config.h"
#include "sgi_daemon.h"
#include "sgi_embedded.h"
#include "sgi_handler.h"
#include "sgi_http.h"
#include "sgi_input.h"
#include "sgi_reload.h"
#include "sgi_route.h"
#include "sgi_supervisor.h"
#include "sgi_target.h"
#include "sgi_wait.h"

#include <ap_mpm.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>

#include <dlfcn.h>

static int announce(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    ap_add_version_component(pconf, "mod_swiftgi/" SGI_VERSION);
    return OK;
}

/* What ends a child unloads its modules, and there are threads that end only with the process:
 * their code has to stay where it is. */
static void stay(apr_pool_t *pchild, server_rec *s)
{
    Dl_info info;

    if (dladdr(&swiftgi_module, &info) && info.dli_fname) {
        dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
    }
}

static void register_hooks(apr_pool_t *pool)
{
    /* A path that mod_rewrite or an Alias gives to somebody else is theirs; what
     * they leave is ours before it becomes a file below DocumentRoot. */
    static const char *const before_us[] = { "mod_alias.c", "mod_rewrite.c", NULL };
    static const char *const before_core[] = { "core.c", NULL };
    static const char *const after_us[] = { "mod_userdir.c", "mod_vhost_alias.c", NULL };

    /* the configuration */
    ap_hook_pre_config(sgi_config_reset, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(sgi_route_resolve, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_check_config(sgi_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before the logs are open, so that whoever starts httpd reads what is wrong. */
    ap_hook_open_logs(sgi_check_start, NULL, before_core, APR_HOOK_REALLY_FIRST);
    ap_hook_post_config(sgi_check_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* Last: what is started knows the configuration that httpd goes on with. */
    ap_hook_post_config(sgi_supervisor_post_config, NULL, NULL, APR_HOOK_LAST);
    ap_hook_post_config(announce, NULL, NULL, APR_HOOK_MIDDLE);

    /* the parent */
    ap_hook_monitor(sgi_reload_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(sgi_supervisor_monitor, NULL, NULL, APR_HOOK_MIDDLE);

    /* the child: at first what is the parent's alone is closed; at last come applications,
     * which find everything else ready */
    ap_hook_child_init(stay, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_child_init(sgi_supervisor_child_init, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_child_init(sgi_daemon_start, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(sgi_embedded_start, NULL, NULL, APR_HOOK_LAST);

    /* the request */
    ap_hook_translate_name(sgi_target_translate, before_us, after_us, APR_HOOK_MIDDLE);
    ap_hook_handler(sgi_handler, NULL, NULL, APR_HOOK_MIDDLE);
    sgi_http_register();
    sgi_input_register();
    sgi_wait_register(pool);
}

/* clang-format off */
module AP_MODULE_DECLARE_DATA swiftgi_module = {
    STANDARD20_MODULE_STUFF,
    sgi_config_create_dir,    /* settings of a directory */
    sgi_config_merge_dir,
    sgi_config_create_server, /* aliases of a server */
    sgi_config_merge_server,
    sgi_config_commands,
    register_hooks,
#if defined(AP_MODULE_FLAG_NONE)
    AP_MODULE_FLAG_NONE
#endif
};
