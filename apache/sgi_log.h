/* sgi_log.h: what applications say, in the log where it belongs. */
#ifndef SGI_LOG_H
#define SGI_LOG_H

#include "sgi_exchange.h"

/* The request that the calling thread serves, or NULL. */
swiftgi_request *sgi_log_current(void);
void sgi_log_set_current(swiftgi_request *x);

/* The id that %L writes for a request; made if no line had it yet. */
const char *sgi_log_request_id(request_rec *r);

/* Member of swiftgi_server. Each line of the message becomes a line of the log. */
void sgi_log_message(const swiftgi_server *server, swiftgi_request *x, swiftgi_level level,
                     swiftgi_bytes message);

/* The least severe level at which anything is logged: by a virtual host, or by a
 * section of the configuration. */
swiftgi_level sgi_log_level(server_rec *s);

/* Text of any number of lines, for the request of this thread or the main log. */
void sgi_log_text(int level, const char *text, apr_size_t length);

/* child_init: whose log is the main log. */
void sgi_log_set_server(server_rec *s);

#endif /* SGI_LOG_H */
