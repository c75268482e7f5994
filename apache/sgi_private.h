/* sgi_private.h: what every file of the module needs. */
#ifndef SGI_PRIVATE_H
#define SGI_PRIVATE_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

extern module AP_MODULE_DECLARE_DATA swiftgi_module;
APLOG_USE_MODULE(swiftgi);

/* Each message from debug up begins with an id that has its entry in LogIDs.md.
 * Ids are never used again; AH numbers belong to httpd's own modules. */
#define SGI_LOGNO(id) "SGI" #id ": "

/* For SetHandler, AddHandler and the aliases. */
#define SGI_HANDLER "swiftgi-script"

#define SGI_VERSION "0.1.0"

#endif /* SGI_PRIVATE_H */
