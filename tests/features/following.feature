Feature: Following the shop
  Everything that happens in the shop has one position among all of it.

  Background:
    Given the shop has 9 fountain pens at 12.50 EUR each

  Rule: Who goes on after a position misses nothing, and gets nothing twice

    Scenario: The accountant reads on
      Given the accountant has read all that has happened
      When a customer orders and pays for 2 fountain pens
      Then the accountant reads of her order: placed, payment requested, stock reserved, paid
      When the shop completes her order
      Then the accountant reads of her order: completed

    Scenario: The accountant begins anew
      Given a customer has ordered 1 fountain pen
      And she has paid
      When the accountant begins anew
      Then the accountant reads of her order: placed, payment requested, stock reserved, paid

  Rule: A customer reads of her own orders alone

    Scenario: Two customers
      Given another customer has ordered 1 fountain pen
      And a customer has ordered 2 fountain pens
      When she reads what has happened, with a key of her own
      Then she has read: placed
