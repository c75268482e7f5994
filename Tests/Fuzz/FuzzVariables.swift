// Variables of any names and values come out as the specification has them.
@c public func LLVMFuzzerTestOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    guard let start else { return 0 }
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    // Lines of name=value.
    let pairs = input.split(separator: 0x0A).map { line in
        let parts = line.split(separator: 0x3D, maxSplits: 1, omittingEmptySubsequences: false)
        return (name: Array(parts[0]), value: parts.count > 1 ? Array(parts[1]) : [])
    }
    var variables = RequestVariables(Array(pairs.prefix(100)))
    var rules = VariableRules()
    if count % 3 == 0 { rules.scriptName = Array("/app/".utf8) }
    rules.alwaysHasLength = count % 2 == 0
    variables.normalize(rules)

    var seen = Set<[UInt8]>()
    variables.forEach { name, value in
        let name = name.indices.map { name[$0] }
        precondition(seen.insert(name).inserted, "a name is there twice")
        if name.starts(with: Array("HTTP_".utf8)) {
            precondition(name.allSatisfy { (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F })
            precondition(name != Array("HTTP_PROXY".utf8))
        }
    }
    let bytes = variables.bytes
    let (script, path) = (variables.find("SCRIPT_NAME")!, variables.find("PATH_INFO")!)
    precondition(!(script.isEmpty && path.isEmpty))
    precondition(script.isEmpty || bytes[script.upperBound - 1] != 0x2F)
    precondition(path.isEmpty || bytes[path.lowerBound] == 0x2F)
    let scheme = bytes[variables.find("REQUEST_SCHEME")!]
    precondition(scheme.elementsEqual("http".utf8) || scheme.elementsEqual("https".utf8))
    for name: StaticString in ["QUERY_STRING", "GATEWAY_INTERFACE"] { precondition(variables.find(name) != nil) }
    for name: StaticString in [
        "REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REQUEST_URI", "REMOTE_ADDR",
    ] {
        precondition(!variables.find(name)!.isEmpty)
    }
    variables.forEachField { name, _ in precondition(!name.isEmpty) }
    return 0
}
