Feature: An order with all that belongs to it
  One look shows an order with its payments, its history and its refunds, all of one moment.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each

  Rule: A look shows what has become of the money

    Scenario: It was never paid for
      When a customer orders 2 fountain pens
      Then a look shows no payment and no refund

    Scenario: It was paid for
      When a customer orders and pays for 2 fountain pens
      Then a look shows 1 payment that has been charged, and no refund

    Scenario: The money was given back
      Given a customer has ordered 2 fountain pens
      And she has paid
      When the shop refunds her order
      Then a look shows 1 payment that has been refunded, and 1 refund that was given
