<?php
// A page with a session in Redis, kept by the handler of phpredis. Every request says what it wants in its path; one whose session cannot be
// opened or saved ends with 500, as an application that looks at the answers of PHP would have it.
function give_up(string $what): never
{
    http_response_code(500);
    exit($what . ': ' . (error_get_last()['message'] ?? 'no reason given'));
}

session_start() or give_up('session_start');
$reply = '';
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/set':
        $_SESSION['number'] = (int) $_GET['number'];
        break;
    case '/get':
        $reply = $_SESSION['number'] ?? null;
        break;
    case '/count':
        $number = $_SESSION['number'] ?? 0;
        usleep(2000);
        $_SESSION['number'] = $number + 1;
        break;
    case '/hold':
        sleep((int) $_GET['seconds']);
        break;
    case '/regenerate':
        session_regenerate_id(true) or give_up('session_regenerate_id');
        break;
    case '/destroy':
        session_destroy() or give_up('session_destroy');
        break;
    default:
        http_response_code(404);
}
if (session_status() === PHP_SESSION_ACTIVE) {
    session_write_close() or give_up('session_write_close');
}
echo json_encode($reply);
