# What the guide says of the outbox, on PostgreSQL: a migration with the SQL, orders that are stored, changed, destroyed and rolled back.
require "logger"
require "active_record"

ActiveRecord::Base.establish_connection(adapter: "postgresql", database: "shop", username: "weir", host: ENV.fetch("PGHOST"))
ActiveRecord::Migration.verbose = false
require "./app/models/outbox"

class MakeOutbox < ActiveRecord::Migration[6.1]
  def up
    create_table(:orders) { |t| t.integer :user_id; t.string :item; t.string :state; t.timestamps }
    execute File.read("weir_outbox.sql")
  end
end
ActiveRecord::Base.transaction { MakeOutbox.new.migrate(:up) }

class Order < ActiveRecord::Base
  include Outbox::Tells
end

order = Order.create!(user_id: 1, item: "book", state: "new")
Order.transaction do
  Order.create!(user_id: 1, item: "lost", state: "new")
  raise ActiveRecord::Rollback
end
order.update!(state: "paid")
Order.create!(user_id: 1, item: "gone", state: "new").destroy!
puts "orders:1 #{order.id}"
