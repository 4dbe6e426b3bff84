<?php

// What phpunit loads first: Debian's Laravel, and Laravel's tests.
require_once 'Illuminate/autoload.php';
require_once 'Mockery/autoload.php';
require_once 'Predis/autoload.php';
require_once __DIR__.'/InteractsWithRedis.php';

spl_autoload_register(function ($class) {
    $file = __DIR__.'/source/tests/'.str_replace('\\', '/', preg_replace('/^Illuminate\\\\Tests\\\\/', '', $class)).'.php';

    if (is_file($file)) {
        require $file;
    }
});
