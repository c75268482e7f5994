-- The same answers by mod_lua.
local zlib = require "zlib"
local data = os.getenv("BENCH_DATA")

local function load_file(name)
    local file = assert(io.open(data .. "/" .. name, "rb"))
    local content = file:read("a")
    file:close()
    return content
end

local hello = "Hello, world!\n"
local chunk = "0123456789abcde\n"
local json = load_file("app/json")
local megabyte = load_file("app/down")

local function answer(r, kind, body)
    r.content_type = kind
    r.headers_out["Content-Length"] = tostring(#body)
    r:write(body)
    return apache2.OK
end

local routes = {
    ["/hello"] = function(r) return answer(r, "text/plain", hello) end,
    ["/app/environ"] = function(r)
        local fields = r.headers_in
        return answer(r, "text/plain",
            "REQUEST_METHOD=" .. r.method
            .. "\nREQUEST_URI=" .. r.unparsed_uri
            .. "\nQUERY_STRING=" .. (r.args or "")
            .. "\nSERVER_NAME=" .. r.server_name
            .. "\nSERVER_PROTOCOL=" .. r.protocol
            .. "\nREMOTE_ADDR=" .. r.useragent_ip
            .. "\nHTTP_HOST=" .. (fields["Host"] or "")
            .. "\nHTTP_USER_AGENT=" .. (fields["User-Agent"] or "")
            .. "\nHTTP_ACCEPT=" .. (fields["Accept"] or "")
            .. "\nHTTP_COOKIE=" .. (fields["Cookie"] or "") .. "\n")
    end,
    ["/app/json"] = function(r) return answer(r, "application/json", json) end,
    ["/app/down"] = function(r) return answer(r, "application/octet-stream", megabyte) end,
    ["/app/up"] = function(r)
        return answer(r, "text/plain", string.format("%08x\n", zlib.adler32()(r:requestbody())))
    end,
    ["/app/file"] = function(r)
        local path = data .. "/app/file"
        r.content_type = "application/octet-stream"
        r.headers_out["Content-Length"] = string.format("%d", r:stat(path).size)
        r:sendfile(path)
        return apache2.OK
    end,
    ["/app/stream"] = function(r)
        r.content_type = "text/plain"
        for _ = 1, 1000 do
            r:write(chunk)
            r:flush()
        end
        return apache2.OK
    end,
    ["/app/wait"] = function(r)
        r.usleep(50000)
        return answer(r, "text/plain", hello)
    end,
}

function handle(r)
    local route = routes[r.uri]
    if not route then return 404 end
    return route(r)
end
