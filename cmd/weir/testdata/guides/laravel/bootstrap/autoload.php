<?php
// In the place of vendor/autoload.php: Debian's packages of Laravel, and the application's own classes.
error_reporting(E_ALL & ~E_DEPRECATED);
require_once 'Illuminate/autoload.php';
require_once 'Illuminate/Foundation/helpers.php';
@include_once 'GuzzleHttp/autoload.php';
spl_autoload_register(function ($class) {
    $file = dirname(__DIR__).'/'.str_replace(['App\\', '\\'], ['app/', '/'], $class).'.php';
    if (str_starts_with($class, 'App\\') && is_file($file)) {
        require $file;
    }
});
