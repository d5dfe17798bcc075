<?php
// Makes the tables and the users that the guide takes for granted, and serves.
@mkdir(__DIR__.'/bootstrap/cache', 0700);
@mkdir(__DIR__.'/storage/framework/sessions', 0700, true);
@mkdir(__DIR__.'/storage/framework/views', 0700, true);
touch(__DIR__.'/database.sqlite');
require __DIR__.'/bootstrap/autoload.php';
$app = require __DIR__.'/bootstrap/app.php';
$app->make(Illuminate\Contracts\Http\Kernel::class)->bootstrap();

use App\Models\User;
use Illuminate\Database\Schema\Blueprint;
use Illuminate\Support\Facades\Hash;
use Illuminate\Support\Facades\Schema;

Schema::create('users', function (Blueprint $t) {
    $t->id();
    $t->string('name');
    $t->string('password');
    $t->json('rooms');
    $t->timestamps();
});
Schema::create('orders', function (Blueprint $t) {
    $t->id();
    $t->foreignId('user_id');
    $t->string('item');
    $t->string('state');
    $t->timestamps();
});
foreach (['ann' => ['room:1'], 'bob' => ['room:1', 'room:2']] as $name => $rooms) {
    User::create(['name' => $name, 'password' => Hash::make('secret'), 'rooms' => $rooms]);
}
putenv('PHP_CLI_SERVER_WORKERS=4');
pcntl_exec(PHP_BINARY, ['-S', '127.0.0.1:'.getenv('PORT'), '-t', __DIR__.'/public', __DIR__.'/public/index.php'], getenv());
