import CSwiftGI
import FakeHost
import SwiftGICore
import SwiftGIEmbedded
import Synchronization
import Testing

struct HostedApplicationTests {
    private static let answer: Application = { _, startResponse in
        try startResponse(.ok, [:], nil)
        return .empty
    }

    @Test("The table says what it is")
    func table() {
        let table = HostedApplication { _ in throw Failure() }.makeTable(name: "Näme").pointee
        #expect(table.abi == UInt32(SWIFTGI_ABI_VERSION))
        #expect(table.flags == 0)
        #expect(table.size == MemoryLayout<swiftgi_application_table>.size)
        #expect(String(decoding: table.name.buffer, as: UTF8.self) == "Näme")
        #expect(table.compiler.array == swiftgi_compiler().array)
        #expect(table.compiler.count > 0)
    }

    @Test("An application is made when it is started, once")
    func start() {
        let made = Mutex(0)
        let hosted = HostedApplication { _ in
            made.withLock { $0 += 1 }
            return HostedApplication.Running(.application(Self.answer))
        }
        let table = hosted.makeTable(name: "Test").pointee
        let host = FakeHost()
        #expect(made.withLock { $0 } == 0)
        #expect(table.start(table.application, host.table) == SWIFTGI_OK)
        #expect(table.start(table.application, host.table) == SWIFTGI_MISUSE)
        #expect(made.withLock { $0 } == 1)
    }

    @Test("An application that throws does not start, and the reason is logged")
    func throwing() {
        let host = FakeHost()
        let pointer = HostedApplication { _ in throw Failure() }.makeTable(name: "Test")
        #expect(pointer.pointee.start(pointer.pointee.application, host.table) == SWIFTGI_FAILED)
        #expect(
            host.log == [
                .init(SWIFTGI_LOG_ERROR, "SGI0210: application could not start: Failure()", namesRequest: false)
            ])
        #expect(host.serve(pointer, FakeRequest()) == SWIFTGI_MISUSE)
    }

    @Test("A server of another version does not start it")
    func version() {
        let host = FakeHost()
        host.table.pointee.abi = 2
        let table = HostedApplication { _ in HostedApplication.Running(.application(Self.answer)) }
            .makeTable(name: "Test").pointee
        #expect(table.start(table.application, host.table) == SWIFTGI_MISUSE)
        #expect(table.start(table.application, nil) == SWIFTGI_MISUSE)
    }

    @Test("Calls without what they need are misuse and no crash")
    func null() {
        let host = FakeHost()
        let pointer = HostedApplication { _ in HostedApplication.Running(.application(Self.answer)) }
            .makeTable(name: "Test")
        let table = pointer.pointee
        #expect(host.serve(pointer, FakeRequest()) == SWIFTGI_MISUSE)
        #expect(table.start(nil, host.table) == SWIFTGI_MISUSE)
        #expect(table.handle(nil, nil) == SWIFTGI_MISUSE)
        table.stop(nil, 1)
        table.stop(table.application, 1)
        #expect(table.start(table.application, host.table) == SWIFTGI_OK)
        #expect(table.handle(table.application, nil) == SWIFTGI_MISUSE)
        #expect(host.serve(pointer, FakeRequest()) == SWIFTGI_OK)
    }

    @Test("stop passes the grace period on")
    func stop() {
        let graces = Mutex<[UInt32]>([])
        let hosted = HostedApplication { _ in
            HostedApplication.Running(.application(Self.answer)) { grace in graces.withLock { $0.append(grace) } }
        }
        let table = hosted.makeTable(name: "Test").pointee
        _ = table.start(table.application, FakeHost().table)
        table.stop(table.application, 1234)
        #expect(graces.withLock { $0 } == [1234])
    }

    @Test("Requests are served on several threads at a time")
    func threads() async throws {
        let host = FakeHost()
        let pointer = try SwiftGIEmbeddedTests.start(
            { environ, startResponse in
                try startResponse(.ok, [:], nil)
                return .string(environ.queryString)
            }, host)
        let address = UInt(bitPattern: pointer)
        await withTaskGroup { group in
            for number in 0..<64 {
                group.addTask {
                    let request = FakeRequest(.init(path: "/?\(number)"))
                    let status = host.serve(UnsafePointer(bitPattern: address)!, request)
                    #expect(request.response(status).text == "\(number)")
                    #expect(request.violations.isEmpty)
                }
            }
        }
    }
}
