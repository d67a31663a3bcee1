@servers
Feature: Ordering while the database is out of reach
  A customer can order while a server of the shop is down.
  An order that she was promised is kept, and one that can't be kept is not promised.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each

  Rule: An order is accepted without the database, and recorded as soon as it is back

    Scenario: She orders, and is told what she will pay
      Given the database is out of reach
      When a customer orders 2 fountain pens
      Then her order awaits payment
      And its total is 25.00 EUR

    Scenario: She pays when the database is back
      Given the database is out of reach
      And a customer has ordered 2 fountain pens
      When the database is back
      Then her order is among her orders
      When she pays
      Then her order is paid
      And her card has been charged 25.00 EUR
      And the events of her order are: placed, payment requested, stock reserved, paid

    Scenario: She pays while the database is still out of reach
      Given the database is out of reach
      And a customer has ordered 2 fountain pens
      When she asks to pay
      And the database is back
      Then her order is paid
      And her card has been charged 25.00 EUR
      And the events of her order are: placed, payment requested, stock reserved, paid

    Scenario: She changes her mind while the database is still out of reach
      Given the database is out of reach
      And a customer has ordered 2 fountain pens
      When the shop cancels her order
      And she asks to pay
      And the database is back
      Then her order is cancelled
      And her card has not been charged

    Scenario: She orders and pays in one step, and pays when the database is back
      Given the database is out of reach
      And a customer has ordered and paid for 2 fountain pens under the key "now"
      When the database is back
      And she orders and pays for 2 fountain pens under the key "now"
      Then she is told the same as before
      And her order is paid
      And her card has been charged 25.00 EUR
      And the events of her order are: placed, payment requested, stock reserved, paid

    Scenario: The same key does not pay for what was only ordered
      Given the database is out of reach
      And a customer has ordered 2 fountain pens under the key "now"
      When she orders and pays for 2 fountain pens under the key "now"
      Then that is refused: idempotency key reused

  Rule: What the shop can't sell is refused all the same

    Scenario: A number of units that can't be
      Given the database is out of reach
      When a customer orders 0 fountain pens
      Then her order is refused: invalid order

  Rule: An order is one order, however she asks for it

    Scenario: She asks again without the database, and with it
      Given the database is out of reach
      And a customer has ordered 2 fountain pens under the key "monday"
      When she orders 2 fountain pens under the key "monday"
      Then she is told the same as before
      When the database is back
      And she orders 2 fountain pens under the key "monday"
      Then she is told the same as before
      And she has 1 order

    Scenario: Her first order was recorded, and she does not know
      Given a customer has ordered 2 fountain pens under the key "monday"
      And the database is out of reach
      When she orders 2 fountain pens under the key "monday"
      Then she is told the same as before
      When the database is back
      Then she has 1 order

  Rule: Nothing is promised that can't be kept

    Scenario: There is nowhere to store an order
      Given the database and the broker are out of reach
      When a customer orders 2 fountain pens
      Then she is asked to try again
      When the database and the broker are back
      Then she has 0 orders

    Scenario: Only the database can tell whether the shop sells it
      Given the database is out of reach
      When a customer orders 1 unicorn
      Then she is asked to try again
