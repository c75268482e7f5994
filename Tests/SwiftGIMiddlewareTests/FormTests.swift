import Foundation
import HTTPTypes
import SwiftGICore
import SwiftGIMiddleware
import SwiftGITesting
import Synchronization
import Testing

/// Reads a form, in one contract or the other, from a body in pieces of a size.
private func read(
    _ contract: Contract, _ type: String?, _ body: [UInt8], pieces: Int = 65536, limits: FormLimits = FormLimits()
) -> (form: Form?, response: MemoryResponse) {
    let found = Mutex<Form?>(nil)
    var request = MemoryRequest(method: .post)
    request.headers[.contentType] = type
    request.headers[.contentLength] = "\(body.count)"
    request.pieces = stride(from: 0, to: body.count, by: pieces).map { Array(body[$0..<min(body.count, $0 + pieces)]) }
    let response: MemoryResponse
    switch contract {
    case .gateway:
        response = MemoryGateway { environ, startResponse in
            let form = try environ.form(limits: limits)
            found.withLock { $0 = form }
            try startResponse(.noContent, [:], nil)
            return .empty
        }.respond(to: request)
    case .async:
        let application: AsyncApplication = { request in
            let form = try await request.form(limits: limits)
            found.withLock { $0 = form }
            return Response(status: .noContent)
        }
        response = MemoryGateway(handler: ErrorPages().wrap(ApplicationHandler(application))).respond(to: request)
    }
    return (found.withLock { $0 }, response)
}

private let multipart = "multipart/form-data; boundary=----WebKitFormBoundaryABC"

/// A body as browsers make it.
private func body(_ parts: (head: String, content: [UInt8])...) -> [UInt8] {
    parts.flatMap { Array("------WebKitFormBoundaryABC\r\n\($0.head)\r\n\r\n".utf8) + $0.content + Array("\r\n".utf8) }
        + Array("------WebKitFormBoundaryABC--\r\n".utf8)
}

private let disposition = "Content-Disposition: form-data; name="

@Suite struct FormTests {
    @Test("A URL-encoded form", arguments: Contract.allCases)
    func urlEncoded(_ contract: Contract) throws {
        let text = "name=M%C3%BCller+%26+S%c3%b6hne&empty=&flag&n=1&n=2&bad=%zz%4&raw=a=b&&"
        let form = try #require(
            read(contract, "application/x-www-form-urlencoded; charset=UTF-8", Array(text.utf8), pieces: 7).form)
        #expect(form["name"] == "Müller & Söhne")
        #expect(form["empty"] == "")
        #expect(form["flag"] == "")
        #expect(form.values("n") == ["1", "2"])
        #expect(form["bad"] == "%zz%4")
        #expect(form["raw"] == "a=b")
        #expect(form["missing"] == nil)
        #expect(form.fields.count == 7)
    }

    @Test("A form of parts, however the pieces fall", arguments: Contract.allCases, [1, 2, 3, 7, 64, 65536])
    func parts(_ contract: Contract, _ pieces: Int) throws {
        // What looks like a boundary and is none, at every place.
        let tricky = Array("\r\n------WebKitFormBoundaryAB\r\n--\r\n\r------WebKitFormBoundaryABC\r".utf8)
        let bytes = body(
            (disposition + "\"text\"", Array("Grüße".utf8)), (disposition + "\"empty\"", []),
            (disposition + "\"file\"; filename=\"C:\\a \\\"b%22.txt\"\r\nContent-Type: text/plain", tricky),
            ("content-disposition:form-data;name=plain ; filename=\"\"", []))
        let (found, response) = read(contract, multipart, bytes, pieces: pieces)
        #expect(response.status == .noContent)
        let form = try #require(found)
        #expect(form.fields == [.init(name: "text", value: "Grüße"), .init(name: "empty", value: "")])
        let file = try #require(form.file("file"))
        #expect(file.filename == "C:\\a \"b\".txt")
        #expect(file.contentType == "text/plain")
        #expect(try file.bytes() == tricky)
        #expect(file.count == tricky.count)
        #expect(!file.isOnDisk)
        #expect(form.file("plain")?.filename == "")
        #expect(form.file("plain")?.count == 0)
    }

    @Test("Preamble, blanks behind a boundary and epilogue are passed over")
    func surroundings() throws {
        let text =
            "preamble\r\n--b \t\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\nepilogue\r\n--b\r\n"
        let form = try #require(read(.gateway, "multipart/form-data; boundary=\"b\"", Array(text.utf8), pieces: 3).form)
        #expect(form.fields == [.init(name: "a", value: "1")])
    }

    @Test("A long file goes to the disk and can be read, sent and saved", arguments: Contract.allCases)
    func disk(_ contract: Contract) throws {
        let content = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let limits = FormLimits(fileInMemory: 1000)
        let (form, _) = read(
            contract, multipart, body((disposition + "\"f\"; filename=\"big\"", content)), pieces: 10_000,
            limits: limits)
        let file = try #require(form?.file("f"))
        #expect(file.isOnDisk)
        #expect(file.count == content.count)
        #expect(try file.bytes() == content)
        let response = MemoryGateway { _, startResponse in
            try startResponse(.ok, [:], nil)
            return try file.makeBody()
        }.respond(to: MemoryRequest())
        #expect(response.body == content)
        let path = "/tmp/swiftgi-form-\(UUID())"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try file.save(to: path)
        #expect(FileManager.default.contents(atPath: path).map { [UInt8]($0) } == content)
        // It writes nothing into a file that is there.
        #expect(throws: GatewayError.self) { try file.save(to: path) }
    }

    @Test(
        "What is too much is 413", arguments: Contract.allCases,
        [
            FormLimits(body: 300), FormLimits(field: 50), FormLimits(count: 1),
        ])
    func limits(_ contract: Contract, _ limits: FormLimits) {
        let bytes = body(
            (disposition + "\"a\"", Array(repeating: 0x61, count: 100)),
            (disposition + "\"b\"", Array(repeating: 0x61, count: 300)))
        #expect(read(contract, multipart, bytes, limits: limits).response.status == .contentTooLarge)
        #expect(read(contract, multipart, bytes).response.status == .noContent)
    }

    @Test(
        "What is broken is 400",
        arguments: [
            "", "------WebKitFormBoundaryABC", "no boundary at all",
            "------WebKitFormBoundaryABC\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ncut",
            "------WebKitFormBoundaryABC\r\nContent-Disposition: form-data\r\n\r\nx\r\n------WebKitFormBoundaryABC--",
            "------WebKitFormBoundaryABC\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nx\r\n------WebKitFormBoundaryABC--",
            "------WebKitFormBoundaryABC\r\nno field\r\n\r\nx\r\n------WebKitFormBoundaryABC--",
            "------WebKitFormBoundaryABC\r\n\r\nx\r\n------WebKitFormBoundaryABC--",
            "------WebKitFormBoundaryABCmore\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n------WebKitFormBoundaryABC--",
            "------WebKitFormBoundaryABC\r\nX: " + String(repeating: "a", count: 20000),
        ])
    func broken(_ text: String) {
        for pieces in [1, 65536] {
            #expect(read(.gateway, multipart, Array(text.utf8), pieces: pieces).response.status == .badRequest)
        }
    }

    @Test("What is no form is 415 with error pages", arguments: ["text/plain", "", nil])
    func noForm(_ type: String?) {
        #expect(read(.async, type, Array("a=b".utf8)).response.status == .unsupportedMediaType)
    }

    @Test("A boundary that is none is 400", arguments: ["multipart/form-data", "multipart/form-data; boundary=\"\""])
    func boundary(_ type: String) {
        #expect(read(.gateway, type, []).response.status == .badRequest)
    }
}
