/* sgi_handler.h: the handler of swiftgi-script. */
#ifndef SGI_HANDLER_H
#define SGI_HANDLER_H

#include "sgi_private.h"

int sgi_handler(request_rec *r);

#endif /* SGI_HANDLER_H */
