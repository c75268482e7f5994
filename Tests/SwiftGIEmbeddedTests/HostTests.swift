import CSwiftGI
import FakeHost
import Logging
import SwiftGIEmbedded
import Testing

struct HostTests {
    @Test("The flags become traits", arguments: [0, 1, 2, 3, 4, 5, 6, 7])
    func flags(_ flags: Int) throws {
        let host = try #require(Host(FakeHost(flags: flags, mode: "daemon", software: "Söft/2").table))
        #expect(host.traits.multithread == (flags & SWIFTGI_MULTITHREAD != 0))
        #expect(host.traits.multiprocess == (flags & SWIFTGI_MULTIPROCESS != 0))
        #expect(host.traits.runOnce == (flags & SWIFTGI_RUN_ONCE != 0))
        #expect(host.traits.mode == "daemon")
        #expect(host.software == "Söft/2")
    }

    @Test("A table of another version is refused", arguments: [0, 2, .max] as [UInt32])
    func version(_ abi: UInt32) {
        let table = FakeHost().table
        table.pointee.abi = abi
        #expect(Host(table) == nil)
    }

    @Test("A table that lacks members is refused, a longer one is not", arguments: [(-1, false), (0, true), (8, true)])
    func size(_ difference: Int, _ isAccepted: Bool) {
        let table = FakeHost().table
        table.pointee.size += difference
        #expect((Host(table) != nil) == isAccepted)
    }

    @Test("No table is refused")
    func null() {
        #expect(Host(nil) == nil)
    }

    @Test("Names that are NULL or not UTF-8 are text")
    func names() throws {
        let table = FakeHost().table
        table.pointee.mode = swiftgi_bytes()
        let broken: StaticString = "\u{FF}"
        table.pointee.software = swiftgi_bytes(start: broken.utf8Start + 1, count: 1)
        let host = try #require(Host(table))
        #expect(host.traits.mode == "")
        #expect(host.software == "\u{FFFD}")
    }

    @Test("Messages go to the server's log, without a request")
    func log() throws {
        let fake = FakeHost()
        let host = try #require(Host(fake.table))
        host.log(.notice, "äöü")
        host.log(.error, "")
        #expect(
            fake.log == [
                .init(SWIFTGI_LOG_NOTICE, "äöü", namesRequest: false),
                .init(SWIFTGI_LOG_ERROR, "", namesRequest: false),
            ])
    }

    @Test(
        "Loggers keep to the server's level",
        arguments: [
            (SWIFTGI_LOG_ERROR, 2), (SWIFTGI_LOG_INFO, 5), (SWIFTGI_LOG_TRACE, 7), (swiftgi_level(rawValue: 99), 7),
        ] as [(swiftgi_level, Int)])
    func level(_ level: swiftgi_level, _ count: Int) throws {
        let fake = FakeHost(level: level)
        let logger = try #require(Host(fake.table)).logger(label: "app")
        for level in Logger.Level.allCases { logger.log(level: level, "\(level)") }
        #expect(fake.log.count == count)
        #expect(fake.log.last?.message == "app: critical")
    }

    @Test("Logging is set up once, and a second time is no crash")
    func bootstrap() throws {
        let host = try #require(Host(FakeHost().table))
        host.bootstrapLogging()
        host.bootstrapLogging()
    }
}
