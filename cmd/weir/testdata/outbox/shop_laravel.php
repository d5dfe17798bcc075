<?php
// What the guide says of the outbox, on PostgreSQL: a migration with the SQL, orders that are stored, changed and rolled back.
@mkdir(__DIR__.'/bootstrap/cache', 0700);
require __DIR__.'/bootstrap/autoload.php';
$app = require __DIR__.'/bootstrap/app.php';
$app->make(Illuminate\Contracts\Http\Kernel::class)->bootstrap();

use App\Models\Order;
use App\Models\Outbox;
use Illuminate\Database\Schema\Blueprint;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Queue;
use Illuminate\Support\Facades\Schema;

config(['database.default' => 'pgsql', 'database.connections.pgsql' => ['driver' => 'pgsql', 'host' => getenv('PGHOST'), 'database' => 'shop', 'username' => 'weir', 'password' => '', 'prefix' => '']]);
Queue::fake(); // the job that publishes where there is no outbox
DB::transaction(function () {
    Schema::create('orders', function (Blueprint $t) {
        $t->id();
        $t->foreignId('user_id');
        $t->string('item');
        $t->string('state');
        $t->timestamps();
    });
    DB::unprepared(file_get_contents('weir_outbox.sql'));
});
Order::saved(fn ($order) => Outbox::tell($order));

$order = DB::transaction(fn () => Order::create(['user_id' => 1, 'item' => 'book', 'state' => 'new']));
try {
    DB::transaction(function () {
        Order::create(['user_id' => 1, 'item' => 'lost', 'state' => 'new']);
        throw new RuntimeException();
    });
} catch (RuntimeException) {
}
DB::transaction(fn () => $order->update(['state' => 'paid']));
echo "orders:1 {$order->id}\n";
