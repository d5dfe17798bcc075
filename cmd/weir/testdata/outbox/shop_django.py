# What the guide says of the outbox, on PostgreSQL: a migration with the SQL, orders that are stored, changed and rolled back.
import os

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
import django
from django.conf import settings

settings.DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "USER": "weir", "HOST": os.environ["PGHOST"]}}
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, migrations, transaction

call_command("migrate", verbosity=0)  # the users, whom orders refer to
call_command("migrate", run_syncdb=True, verbosity=0)
with connection.schema_editor() as editor:  # as a migration does, with a transaction around it
    migrations.RunSQL(open("weir_outbox.sql").read()).database_forwards("shop", editor, None, None)
    assert connection.in_atomic_block and not connection.get_autocommit()

from shop.models import Order
from shop.outbox import tell

user = User.objects.create_user("ann")
with transaction.atomic():
    order = Order.objects.create(user=user, item="book", state="new")
    tell(order)
try:
    with transaction.atomic():
        tell(Order.objects.create(user=user, item="lost", state="new"))
        raise RuntimeError
except RuntimeError:
    pass
with transaction.atomic():
    order.state = "paid"
    order.save()
    tell(order)
print(f"orders:{user.pk}", order.pk)
