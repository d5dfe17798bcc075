# Makes the tables and the users that the guide takes for granted, and serves.
import os

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
import django
from django.core.management import call_command

django.setup()
call_command("migrate", run_syncdb=True, verbosity=0)

from django.contrib.auth.models import Group, User

for name, rooms in {"ann": ["room:1"], "bob": ["room:1", "room:2"]}.items():
    User.objects.create_user(name, password="secret").groups.set(Group.objects.get_or_create(name=r)[0] for r in rooms)
call_command("runserver", "127.0.0.1:" + os.environ["PORT"], use_reloader=False)
