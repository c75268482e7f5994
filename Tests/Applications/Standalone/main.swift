import SwiftGI

serve(export(hello))
