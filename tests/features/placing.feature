Feature: Placing an order
  A customer agrees to buy, at the prices that the shop asks today.
  Nothing is taken from her, or from the shelf, before she pays.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And the shop has 9 bottles of ink at 3.00 EUR each

  Rule: A customer is told at once what she will pay

    Scenario: An order of several products
      When a customer orders 2 fountain pens and 1 bottle of ink
      Then her order awaits payment
      And its total is 28.00 EUR

    Scenario: The same product twice
      When a customer orders 1 fountain pen and 2 fountain pens
      Then her order awaits payment
      And its total is 37.50 EUR

    Scenario: She finds it again at once
      When a customer orders 1 fountain pen
      Then her order is among her orders

  Rule: Placing an order takes neither stock nor money

    Scenario: Ordering more than is on the shelf
      When a customer orders 7 fountain pens
      Then her order awaits payment
      And 5 fountain pens are left
      And her card has not been charged

  Rule: A customer can order and pay in one step

    Scenario: She orders and pays at once
      When a customer orders and pays for 2 fountain pens
      Then her order is paid
      And her card has been charged 25.00 EUR
      And the events of her order are: placed, payment requested, stock reserved, paid

    Scenario: She orders and pays for more than is on the shelf
      When a customer orders and pays for 7 fountain pens
      Then her order has failed: out of stock
      And her card has not been charged

    Scenario: She asks twice, and pays once
      When a customer orders and pays for 2 fountain pens under the key "now"
      And she orders and pays for 2 fountain pens under the key "now"
      Then she is told the same as before
      And she has 1 order
      And her card has been charged 25.00 EUR

  Rule: What the shop can't sell is refused, with the reason

    Scenario: Something that the shop does not sell
      When a customer orders 1 unicorn
      Then her order is refused: unknown product

    Scenario Outline: A number of units that can't be
      When a customer orders <units> fountain pens
      Then her order is refused: invalid order

      Examples:
        | units   |
        | 0       |
        | 1000001 |

    Scenario: Too many units, in two parts
      When a customer orders 1000000 fountain pens and 1 fountain pen
      Then her order is refused: invalid order

    Scenario: Two currencies in one order
      Given the shop has 5 folding fans at 900 JPY each
      When a customer orders 1 fountain pen and 1 folding fan
      Then her order is refused: currency mismatch

    Scenario: A refused order holds up no other
      Given a customer has ordered 1 unicorn
      When another customer orders 1 fountain pen
      Then her order awaits payment
