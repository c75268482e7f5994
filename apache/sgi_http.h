/* sgi_http.h: requests for HTTP servers that process groups run: on their way to mod_proxy. */
#ifndef SGI_HTTP_H
#define SGI_HTTP_H

#include "sgi_config.h"

/* translate_name: gives a request to mod_proxy; `rest` is its path behind the alias. */
int sgi_http_translate(request_rec *r, const sgi_alias *alias, const char *rest);

/* Registers what comes later. */
void sgi_http_register(void);

#endif /* SGI_HTTP_H */
