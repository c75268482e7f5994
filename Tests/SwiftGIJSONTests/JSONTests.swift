import FoundationEssentials
import HTTPTypes
import SwiftGICore
import SwiftGIJSON
import SwiftGITesting
import Testing

private struct Item: Codable, Equatable {
    var id: Int
    var title: String
}

private let echo: Application = { environ, startResponse in
    var item = try environ.json(Item.self, upTo: 100)
    item.id += 1
    try startResponse(.ok, .json, nil)
    return try .json(item)
}

private let asyncEcho: AsyncApplication = { request in
    var item = try await request.json(Item.self, upTo: 100)
    item.id += 1
    return try .json(item, status: .created)
}

@Suite struct JSONTests {
    private let gateways = [MemoryGateway(echo), MemoryGateway(handler: ApplicationHandler(asyncEcho))]

    @Test("A value comes and goes")
    func value() throws {
        for gateway in gateways {
            let response = gateway.respond(to: MemoryRequest(body: "{\"id\": 1, \"title\": \"Grüße\"}"))
            #expect(response.headers[.contentType] == "application/json")
            #expect(try JSONDecoder().decode(Item.self, from: Data(response.body)) == Item(id: 2, title: "Grüße"))
        }
    }

    @Test(
        "What is not that value is 400", arguments: ["", "{", "[]", "{\"id\": \"x\", \"title\": \"\"}", "{\"id\": 1}"])
    func broken(_ text: String) {
        for gateway in gateways {
            #expect(gateway.respond(to: MemoryRequest(body: text)).status == .badRequest)
        }
    }

    @Test("More than the limit is 413")
    func limit() {
        for gateway in gateways {
            let body = "{\"id\": 1, \"title\": \"\(String(repeating: "x", count: 100))\"}"
            #expect(gateway.respond(to: MemoryRequest(body: body)).status == .contentTooLarge)
        }
    }
}
