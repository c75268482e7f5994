import Foundation
import Glibc

/// Everything that the servers read, in one place that they may read whoever they run as, and that
/// is removed in the end.
struct Site: Sendable {
    let root: String
    let repository: String

    var data: String { root + "/data" }
    var peers: String { root + "/peers" }

    static let largest = 100 << 20

    init() throws {
        repository = FileManager.default.currentDirectoryPath
        var template = Array("/tmp/swiftgi-bench-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
        }
        guard let made else { throw Failure("mkdtemp: \(String(cString: strerror(errno)))") }
        root = made
        chmod(root, 0o755)
        for directory in ["data/app", "peers", "servers", "work"] {
            try FileManager.default.createDirectory(atPath: "\(root)/\(directory)", withIntermediateDirectories: true)
        }
        try makeData()
        try copyPeers()
        try makeCertificate()
    }

    func remove() { try? FileManager.default.removeItem(atPath: root) }

    func write(_ name: String, _ text: String) throws {
        try text.write(toFile: "\(root)/\(name)", atomically: false, encoding: .utf8)
    }

    /// A file for the output of a command.
    func work(_ name: String) -> String { "\(root)/work/\(name)" }

    // MARK: Bodies

    static let hello = Array("Hello, world!\n".utf8)
    static let stream = Array(String(repeating: "0123456789abcde\n", count: 1000).utf8)
    static let upload = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)

    /// 10 KiB of JSON, as a listing of some shop would have it.
    static let json: [UInt8] = {
        var records: [String] = []
        var size = 2
        while size < (10 << 10) - 200 {
            let number = records.count
            let record =
                #"{"id":\#(number),"name":"Article \#(number)","price":\#(number * 7).99,"tags":["new","blue"]}"#
            records.append(record)
            size += record.utf8.count + 1
        }
        let list = records.joined(separator: ",")
        let rest = (10 << 10) - list.utf8.count - #"{"items":[],"note":""}"#.utf8.count
        return Array((#"{"items":["# + list + #"],"note":""# + String(repeating: "-", count: rest) + #""}"#).utf8)
    }()

    /// Bytes that no compression and no mistake of a page makes look right.
    static func pattern(_ count: Int) -> [UInt8] {
        var state: UInt32 = 1
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            for index in 0..<count {
                state = state &* 1_664_525 &+ 1_013_904_223
                buffer[index] = UInt8(truncatingIfNeeded: state >> 24)
            }
            initialized = count
        }
    }

    private func makeData() throws {
        func put(_ name: String, _ bytes: [UInt8]) throws {
            try Data(bytes).write(to: URL(filePath: "\(data)/\(name)"))
        }
        try put("hello", Site.hello)
        try put("app/json", Site.json)
        try put("app/down", Site.pattern(1 << 20))
        try put("app/file", Site.pattern(Site.largest))
        // As literals, which the opcode cache keeps.
        var constants = Array("<?php\n".utf8)
        for (name, bytes) in [("BENCH_JSON", Site.json), ("BENCH_MEGABYTE", Site.pattern(1 << 20))] {
            constants += Array("const \(name) = '".utf8)
            for byte in bytes {
                if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\\") { constants.append(UInt8(ascii: "\\")) }
                constants.append(byte)
            }
            constants += Array("';\n".utf8)
        }
        try Data(constants).write(to: URL(filePath: "\(peers)/data.php"))
    }

    // MARK: Peers

    private func copyPeers() throws {
        let sources = [
            "\(repository)/Tests/Benchmarks/Peers", "\(repository)/.build/bench/made",
            "\(repository)/.build/bench/hummingbird/release/BenchHummingbird",
            "\(repository)/.build/apache/.libs/mod_swiftgi.so",
            "\(repository)/.build/apache/.libs/swiftgi-supervisor", "\(repository)/.build/launcher/swiftgi-run",
        ]
        for source in sources { try copy(source) }
        for name in ["Hello", "AsyncHello", "ExecutorCost", "Events", "Bench", "AsyncBench"] {
            try copy("\(repository)/.build/apps/release/lib\(name).so")
        }
        try copy("\(repository)/.build/apps/release/Standalone")
    }

    private func copy(_ source: String) throws {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: source, isDirectory: &isDirectory) else { return }
        if isDirectory.boolValue {
            for name in try FileManager.default.contentsOfDirectory(atPath: source) { try copy("\(source)/\(name)") }
            return
        }
        let target = "\(peers)/\(URL(filePath: source).lastPathComponent)"
        try FileManager.default.copyItem(atPath: source, toPath: target)
        chmod(target, source.contains("/Peers/") ? 0o644 : 0o755)
    }

    private func makeCertificate() throws {
        try Spawned.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "1", "-subj", "/CN=bench.test", "-keyout", "\(root)/tls.key", "-out", "\(root)/tls.crt",
            ],
            output: work("openssl"))
    }
}
