<?php
// Publishes with Symfony's own client: mercure.php HUB KEY TOPIC DATA [PRIVATE [ID [TYPE]]]
require_once 'Symfony/Component/HttpClient/autoload.php';
require_once 'Symfony/Component/Mercure/autoload.php';

use Symfony\Component\Mercure\Hub;
use Symfony\Component\Mercure\Jwt\StaticTokenProvider;
use Symfony\Component\Mercure\Update;

[, $hub, $key, $topic, $data] = $argv;
$part = fn (string $text): string => rtrim(strtr(base64_encode($text), '+/', '-_'), '=');
$signed = $part('{"alg":"HS256","typ":"JWT"}').'.'.$part('{"mercure":{"publish":["*"]}}');
$jwt = $signed.'.'.$part(hash_hmac('sha256', $signed, $key, true));
$update = new Update($topic, $data, (bool) ($argv[5] ?? ''), ($argv[6] ?? '') ?: null, ($argv[7] ?? '') ?: null);
echo (new Hub($hub, new StaticTokenProvider($jwt)))->publish($update);
