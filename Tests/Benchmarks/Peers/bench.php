<?php
// The same answers by PHP: for php-fpm and mod_php. data.php, which the benchmark makes, has the
// bodies as constants, which the opcode cache keeps.
function answer(string $type, string $body): void
{
    header("Content-Type: $type");
    header('Content-Length: ' . strlen($body));
    echo $body;
}

switch (strtok($_SERVER['REQUEST_URI'], '?')) {
    case '/hello':
        answer('text/plain', "Hello, world!\n");
        break;
    case '/app/environ':
        $names = [
            'REQUEST_METHOD', 'REQUEST_URI', 'QUERY_STRING', 'SERVER_NAME', 'SERVER_PROTOCOL',
            'REMOTE_ADDR', 'HTTP_HOST', 'HTTP_USER_AGENT', 'HTTP_ACCEPT', 'HTTP_COOKIE',
        ];
        $text = '';
        foreach ($names as $name) {
            $text .= $name . '=' . ($_SERVER[$name] ?? '') . "\n";
        }
        answer('text/plain', $text);
        break;
    case '/app/json':
        include 'data.php';
        answer('application/json', BENCH_JSON);
        break;
    case '/app/down':
        include 'data.php';
        answer('application/octet-stream', BENCH_MEGABYTE);
        break;
    case '/app/up':
        $hash = hash_init('adler32');
        hash_update_stream($hash, fopen('php://input', 'rb'));
        answer('text/plain', hash_final($hash) . "\n");
        break;
    case '/app/file':
        $path = getenv('BENCH_DATA') . '/app/file';
        header('Content-Type: application/octet-stream');
        header('Content-Length: ' . filesize($path));
        readfile($path);
        break;
    case '/app/stream':
        header('Content-Type: text/plain');
        for ($i = 0; $i < 1000; $i++) {
            echo "0123456789abcde\n";
            flush();
        }
        break;
    case '/app/wait':
        usleep(50000);
        answer('text/plain', "Hello, world!\n");
        break;
    default:
        http_response_code(404);
}
