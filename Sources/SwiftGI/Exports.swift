@_exported public import CSwiftGI
@_exported public import HTTPTypes
@_exported public import SwiftGICore
